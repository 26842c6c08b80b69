// What one frame says: its probabilities after "not sure", movement and the confusion matrix, and its duration.
// The same as asl_edge/runtime/spelling/evidence.py.

export const NOTHING = "nothing";
export const ROUNDING = 1e-6; // seconds that do not matter

/** The spec's confusion matrix for a model's classes (rows: signed, columns: predicted); null if there is none. */
export function confusionMatrix(spec, classes) {
  if (!spec.confusion.length) return null;
  const place = new Map(spec.confusion_classes.map((name, row) => [name, row]));
  const matrix = classes.map((_, row) => classes.map((_, column) => Number(row === column)));
  const known = classes.flatMap((name, column) => (place.has(name) ? [column] : []));
  for (const row of known) {
    const shares = known.map((column) => spec.confusion[place.get(classes[row])][place.get(classes[column])]);
    const sum = shares.reduce((total, share) => total + share, 0);
    if (sum > 0) known.forEach((column, index) => (matrix[row][column] = shares[index] / Math.max(sum, 1e-12)));
  }
  return matrix;
}

/** The probability of what is signed given what is predicted, every class being equally likely (Bayes). */
export function posteriorMatrix(spec, classes) {
  const matrix = confusionMatrix(spec, classes);
  if (!matrix) return null;
  const sums = classes.map((_, column) => matrix.reduce((total, row) => total + row[column], 0));
  return matrix.map((row, r) =>
    row.map((share, c) => (sums[c] > 0 ? share / Math.max(sums[c], 1e-12) : Number(r === c))),
  );
}

export class Evidence {
  constructor(spec, classes) {
    this.spec = spec;
    this.matrix = posteriorMatrix(spec, classes);
    this.nothing = classes.indexOf(NOTHING);
    this.clear();
  }

  /** Returns {probabilities, time, seconds}; `weight` is what the frame counts, the rest goes to `nothing`. */
  frame(probabilities, time, weight) {
    const last = this.time ?? time;
    const now = (this.time = Math.max(time, last));
    let values = Float64Array.from(probabilities);
    if (weight < 1) {
      values = values.map((value) => value * weight);
      if (this.nothing >= 0) values[this.nothing] += 1 - weight;
    }
    if (this.matrix) {
      const signed = this.matrix.map((row) => row.reduce((sum, share, c) => sum + share * values[c], 0));
      values = Float64Array.from(signed);
    }
    return { probabilities: values, time: now, seconds: Math.min(now - last, this.spec.longest_frame_seconds) };
  }

  clear() {
    this.time = null;
  }
}
