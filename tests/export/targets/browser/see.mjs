// Reads {squares: [{width, height, rgb, size, fit}], zoom, hands: [{landmarks, hand}]} from standard input; writes the
// squares' pixels in base64, and the crop box and weight of each hand.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { toSquare } = await import(pathToFileURL(`${process.argv[2]}/imaging/square.mjs`));
const { cropBox, zoomWeight } = await import(pathToFileURL(`${process.argv[2]}/imaging/zoom.mjs`));
const { squares, zoom, hands } = JSON.parse(readFileSync(0, "utf8"));
const pixels = squares.map(({ width, height, rgb, size, fit }) => {
  const data = new Uint8Array(Buffer.from(rgb, "base64"));
  return Buffer.from(toSquare({ width, height, data }, size, fit).data).toString("base64");
});
const boxes = hands.map(({ landmarks, hand }) => {
  const box = cropBox(zoom, Float32Array.from(landmarks), Float32Array.from(hand));
  return [...box, zoomWeight(zoom, box)];
});
process.stdout.write(JSON.stringify({ pixels, boxes }));
