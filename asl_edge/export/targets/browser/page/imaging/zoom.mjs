// Where the zoom pass looks, by the hand landmarks of the first pass: asl_edge/runtime/landmark_zoom.py, and of
// hand_landmarks.py and zoom.py what it needs. Numbers are float32, as there.

import { part, roundHalfEven, toSquare } from "./square.mjs";

export const DETAIL = 3; // images are kept at this multiple of the network's input size
const SMALLEST = 0.1; // smallest side of a crop, as a share of the image's side
const WRIST = 0;
const MIDDLE_MCP = 9;
const BONES = [
  [0, 1], [1, 2], [2, 3], [3, 4], [0, 5], [5, 6], [6, 7], [7, 8], [5, 9], [9, 10], [10, 11], [11, 12], [9, 13],
  [13, 14], [14, 15], [15, 16], [13, 17], [17, 18], [18, 19], [19, 20], [0, 17],
];

const f = Math.fround;

/** The box of points, `landmarks` float32 (21 x 3): {low: [x, y], high: [x, y], span}. */
function bounds(landmarks) {
  const [low, high] = [[Infinity, Infinity], [-Infinity, -Infinity]];
  for (let i = 0; i < landmarks.length; i += 3) {
    for (let axis = 0; axis < 2; axis++) {
      low[axis] = Math.min(low[axis], landmarks[i + axis]);
      high[axis] = Math.max(high[axis], landmarks[i + axis]);
    }
  }
  return { low, high, span: Math.max(f(high[0] - low[0]), f(high[1] - low[1])) };
}

/** Whether points have the proportions of a hand. */
export function plausible(landmarks) {
  if (!landmarks.every(Number.isFinite)) return false;
  const length = (a, b) =>
    f(Math.hypot(...[0, 1, 2].map((axis) => f(landmarks[a * 3 + axis] - landmarks[b * 3 + axis]))));
  const palm = Math.max(length(WRIST, MIDDLE_MCP), 1e-6);
  const longest = Math.max(...BONES.map(([a, b]) => length(a, b)));
  return longest < 4 * palm && palm > 0.1 * bounds(landmarks).span;
}

/** [left, top, side] as shares of the image's side; side 1 means no zoom pass. */
export function cropBox(zoom, landmarks, hand) {
  const { low, high, span } = bounds(landmarks);
  const own = f(span * f(zoom.margin));
  const side = Math.max(own, f(SMALLEST));
  if (!(hand[0] >= f(zoom.least_hand) && plausible(landmarks) && side < f(zoom.limit))) return [0, 0, 1];
  const corner = [0, 1].map((axis) => {
    const middle = f(f(f(f(low[axis] + high[axis]) / 2) - f(own / 2)) + f(own / 2));
    return Math.min(Math.max(f(middle - f(side / 2)), 0), f(1 - side));
  });
  return [...corner, side];
}

/** Weight of the zoom pass; the first pass has the rest. */
export function zoomWeight(zoom, box) {
  return box[2] < f(zoom.small) ? 1 : f(zoom.share);
}

/** The part of a square image that a crop box names, at the network's size. */
export function crop(square, [left, top, share], size) {
  const side = square.width;
  const extent = Math.min(side, Math.max(1, roundHalfEven(share * side)));
  const [x, y] = [left, top].map((start) => Math.min(Math.max(0, roundHalfEven(start * side)), side - extent));
  return toSquare(part(square, x, y, extent, extent), size);
}

/** Probabilities of both passes together. */
export function combined(first, zoomed, weight) {
  return first.map((value, i) => f(value + f(weight * f(zoomed[i] - value))));
}
