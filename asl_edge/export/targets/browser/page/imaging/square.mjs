// RGB pixels to the square that the network takes: `to_square` and `_resize` of asl_edge/imaging/preprocess.py.
// INTER_AREA when an image shrinks and INTER_LINEAR when it grows, as OpenCV computes them.

const COEFFICIENT = 2048; // OpenCV's weights of INTER_LINEAR are multiples of 1/2048

/** Python's and OpenCV's `round`: halves to even. */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 ? floor + 1 : floor;
}

/** An image: {data: Uint8Array of height x width x 3, width, height}. */
export function image(width, height, data = new Uint8Array(width * height * 3)) {
  return { width, height, data };
}

/** The part of an image that begins at (left, top). */
export function part(source, left, top, width, height) {
  const result = image(width, height);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * source.width + left) * 3;
    result.data.set(source.data.subarray(start, start + width * 3), y * width * 3);
  }
  return result;
}

/** `fit`: crop (the centre square), stretch, or pad (black around it). */
export function toSquare(source, size, fit = "crop") {
  const { width, height } = source;
  if (fit === "crop" && width !== height) {
    const side = Math.min(width, height);
    source = part(source, Math.floor((width - side) / 2), Math.floor((height - side) / 2), side, side);
  } else if (fit === "pad" && width !== height) {
    const scale = size / Math.max(width, height);
    const [innerWidth, innerHeight] = [width, height].map((side) => Math.max(1, roundHalfEven(side * scale)));
    const inner = resize(source, innerWidth, innerHeight);
    const [left, top] = [innerWidth, innerHeight].map((side) => Math.floor((size - side) / 2));
    const canvas = image(size, size);
    for (let y = 0; y < innerHeight; y++) {
      const row = inner.data.subarray(y * innerWidth * 3, (y + 1) * innerWidth * 3);
      canvas.data.set(row, ((top + y) * size + left) * 3);
    }
    return canvas;
  }
  return resize(source, size, size);
}

export function resize(source, width, height) {
  if (source.width === width && source.height === height) return source;
  const shrinks = source.width >= width && source.height >= height;
  if (!shrinks) return linear(source, width, height);
  const whole = source.width % width === 0 && source.height % height === 0;
  return whole ? wholeArea(source, width, height) : area(source, width, height);
}

/** Each pixel is the mean of a whole number of pixels. */
function wholeArea(source, width, height) {
  const result = image(width, height);
  const [across, down] = [source.width / width, source.height / height];
  const share = Math.fround(1 / (across * down));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let dy = 0; dy < down; dy++) {
          let place = ((y * down + dy) * source.width + x * across) * 3 + channel;
          for (let dx = 0; dx < across; dx++, place += 3) sum += source.data[place];
        }
        const half = across === 2 && down === 2; // OpenCV rounds these up
        result.data[(y * width + x) * 3 + channel] = half ? (sum + 2) >> 2 : roundHalfEven(Math.fround(sum * share));
      }
    }
  }
  return result;
}

/** OpenCV's computeResizeAreaTab: which pixels a pixel is made of, and their float32 weights. */
function areaWeights(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, place) => {
    const start = place * scale;
    const end = start + scale;
    const cell = Math.min(scale, from - start);
    let first = Math.ceil(start);
    const last = Math.min(Math.floor(end), from - 1);
    first = Math.min(first, last);
    const weights = [];
    if (first - start > 1e-3) weights.push([first - 1, Math.fround((first - start) / cell)]);
    for (let i = first; i < last; i++) weights.push([i, Math.fround(1 / cell)]);
    if (end - last > 1e-3) weights.push([last, Math.fround(Math.min(Math.min(end - last, 1), cell) / cell)]);
    return weights;
  });
}

function area(source, width, height) {
  const [across, down] = [areaWeights(source.width, width), areaWeights(source.height, height)];
  const result = image(width, height);
  const sums = new Float32Array(width * 3);
  const row = new Float32Array(width * 3);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (const [line, share] of down[y]) {
      row.fill(0);
      for (let x = 0; x < width; x++) {
        for (const [column, weight] of across[x]) {
          const place = (line * source.width + column) * 3;
          for (let channel = 0; channel < 3; channel++) {
            row[x * 3 + channel] += Math.fround(source.data[place + channel] * weight);
          }
        }
      }
      for (let i = 0; i < row.length; i++) sums[i] += Math.fround(row[i] * share);
    }
    for (let i = 0; i < sums.length; i++) result.data[y * width * 3 + i] = roundHalfEven(sums[i]);
  }
  return result;
}

/** The two pixels that a pixel lies between, and their whole-number weights. */
function linearWeights(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, place) => {
    const at = Math.fround((place + 0.5) * scale - 0.5);
    let first = Math.floor(at);
    let rest = Math.fround(at - first);
    if (first < 0) [first, rest] = [0, 0];
    if (first >= from - 1) [first, rest] = [from - 1, 0];
    const weights = [Math.fround(1 - rest), rest].map((share) => roundHalfEven(Math.fround(share * COEFFICIENT)));
    return [first, Math.min(first + 1, from - 1), ...weights];
  });
}

function linear(source, width, height) {
  const [across, down] = [linearWeights(source.width, width), linearWeights(source.height, height)];
  const result = image(width, height);
  const stride = source.width * 3;
  for (let y = 0; y < height; y++) {
    const [top, bottom, above, below] = down[y];
    for (let x = 0; x < width; x++) {
      const [left, right, before, after] = across[x];
      for (let channel = 0; channel < 3; channel++) {
        const [a, b] = [top, bottom].map((line) => {
          const start = line * stride + channel;
          return source.data[start + left * 3] * before + source.data[start + right * 3] * after;
        });
        const value = ((((a >> 4) * above) >> 16) + (((b >> 4) * below) >> 16) + 2) >> 2;
        result.data[(y * width + x) * 3 + channel] = value;
      }
    }
  }
  return result;
}
