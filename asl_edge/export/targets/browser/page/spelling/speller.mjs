// Speller: per-frame probabilities in, committed letters out. The same as asl_edge/runtime/spelling/speller.py, for the
// decoder `viterbi`.

import { Evidence, NOTHING } from "./evidence.mjs";
import { Movement } from "./movement.mjs";
import { ViterbiDecoder } from "./viterbi.mjs";

export class Speller {
  /** `spec`: the JSON of a SpellingSpec with every field; `classes`: in the order of the model's columns. */
  constructor(spec, classes) {
    if (spec.decoder !== "viterbi") throw new Error(`The decoder ${spec.decoder} does not exist in the browser.`);
    this.spec = spec;
    this.classes = classes;
    this.characters = [];
    this.evidence = new Evidence(spec, classes);
    const columns = classes.flatMap((name, column) => (name === NOTHING ? [] : [column]));
    const commands = columns.map((column) => ["space", "del"].includes(classes[column]));
    this.decoder = new ViterbiDecoder(spec.viterbi, columns, commands);
    this.movement = spec.still_speed === null ? null : new Movement();
    this.nothing = classes.indexOf(NOTHING);
    this.pause = null;
  }

  get text() {
    return this.characters.join("");
  }

  /** {label, progress} of the sign that is held and not committed, or null. */
  get pending() {
    const pending = this.decoder.pending;
    return pending && { label: this.classes[pending[0]], progress: pending[1] };
  }

  /** Take one frame (`time` in seconds); return the events [{kind, text, time, started, probability}]. */
  update(probabilities, time, accepted = true, landmarks = null) {
    let weight = accepted === false ? this.spec.not_sure_weight : 1;
    if (this.movement && landmarks) weight *= this.stillness(landmarks, time);
    const frame = this.evidence.frame(probabilities, time, weight);
    const events = this.decoder.update(frame).map((commit) => this.act(commit, frame.time));
    return [...events, ...this.pauseSpace(frame)];
  }

  /** Take the end of the frames: a letter that is held long enough is committed. */
  finish(time) {
    const events = this.decoder.finish(time).map((commit) => this.act(commit, time));
    this.forget();
    return events;
  }

  /** Take back the last character; return it, empty if there is none. */
  undo() {
    return this.characters.pop() ?? "";
  }

  clear() {
    this.characters = [];
    this.decoder.clear();
    this.forget();
  }

  forget() {
    this.evidence.clear();
    this.pause = null;
    this.movement?.clear();
  }

  stillness(landmarks, time) {
    const speed = this.movement.speed(landmarks, time);
    return speed === null ? 1 : Math.min(Math.max(2 - speed / this.spec.still_speed, 0), 1);
  }

  act(commit, time) {
    const { started, probability } = commit;
    const label = this.classes[commit.column];
    this.pause = null;
    if (label === "del") return { kind: "delete", text: this.undo(), time, started, probability };
    const text = label === "space" ? " " : label;
    this.characters.push(text);
    return { kind: label === "space" ? "space" : "letter", text, time, started, probability };
  }

  pauseSpace(frame) {
    if (this.spec.pause_space_seconds === null || this.nothing < 0) return [];
    const probability = frame.probabilities[this.nothing];
    const top = frame.probabilities.indexOf(Math.max(...frame.probabilities));
    if (top !== this.nothing) {
      this.pause = null;
      return [];
    }
    this.pause ??= frame.time - frame.seconds;
    const last = this.characters[this.characters.length - 1];
    if (frame.time - this.pause < this.spec.pause_space_seconds || last === undefined || last === " ") return [];
    this.characters.push(" ");
    return [{ kind: "space", text: " ", time: frame.time, started: this.pause, probability }];
  }
}
