// Reads {spec, classes, words: [{frames: [{p, time, accepted, points}]}]} from standard input, writes texts and events.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { Speller } = await import(pathToFileURL(`${process.argv[2]}/spelling/speller.mjs`));
const { spec, classes, words } = JSON.parse(readFileSync(0, "utf8"));
const read = words.map(({ frames }) => {
  const speller = new Speller(spec, classes);
  const events = frames.flatMap((frame) => speller.update(frame.p, frame.time, frame.accepted, frame.points));
  events.push(...speller.finish(frames[frames.length - 1].time));
  return { text: speller.text, events };
});
process.stdout.write(JSON.stringify(read));
