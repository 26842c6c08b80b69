// The hidden semi-Markov model and its online decoder. The same as asl_edge/runtime/spelling/viterbi.py, which explains
// it: each function here has its name there.

import { ROUNDING } from "./evidence.mjs";

const NEVER = -Infinity;
const PASSED = 4; // more shapes in a row, held but not for as long as the pace asks, are letters at a faster pace
const HURRY = 0.7; // what the times between letters then count
const CLEAR = 0.8; // probability of a shape that is held
const PACE_LETTERS = 6; // times between letters that are kept
const PACE_SECONDS = 1.6; // longer times between letters are pauses
const EMPTY = Object.freeze([]); // a path: the holds since the last commit that have ended

/** The path without its first hold if that is the committed class, else null. */
function after(path, committed) {
  return path.length && path[0].place === committed ? path.slice(1) : null;
}

function between(score = NEVER, last = -1, since = NEVER, path = EMPTY) {
  return { score, last, since, path };
}

/** What came before the hold of a class. */
function before(young, place) {
  return (place === young.odd ? young.oddPath : young.path) ?? EMPTY;
}

/** The place of the largest value, the first of them. */
function argmax(values) {
  let place = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[place]) place = i;
  return place;
}

function best(score, first = -1, hold = null, started = 0, rival = NEVER) {
  return { score, first, hold, started, rival };
}

function plus(a, b) {
  return a.map((value, i) => value + b[i]);
}

export class ViterbiDecoder {
  /** `columns`: those that can be held; `commands`: which of them act (space, del). */
  constructor(rules, columns, commands) {
    this.rules = rules;
    this.columns = columns;
    this.entryCosts = Float64Array.from(commands, (acts) => rules.command_cost * Number(acts));
    this.floor = Math.max(rules.floor, 1e-9);
    this.logBetween = Math.log(Math.max(rules.between, 1e-6));
    this.clear();
  }

  /** Forget everything; the letter that came last and the pace too. */
  clear() {
    this.intervals = [];
    this.lastStart = null;
    this.shortest = this.rules.hold_seconds;
    this.shape = -1;
    this.shapeStart = 0;
    this.passed = [];
    this.forget();
  }

  /** Forget everything but the pace. */
  forget() {
    const count = this.columns.length;
    this.evidence = new Float64Array(count);
    this.sums = new Float64Array(count);
    this.seconds = 0;
    this.quiet = between(0);
    this.open = between();
    this.held = -1;
    this.heldScore = NEVER;
    this.scores = new Float64Array(count).fill(NEVER);
    this.starts = new Float64Array(count);
    this.startSums = new Float64Array(count);
    this.startSeconds = new Float64Array(count);
    this.paths = new Array(count).fill(EMPTY);
    this.first = this.columns.map((_, place) => place);
    this.young = [];
    this.best = best(0);
    this.time = 0;
  }

  /** Take one frame; return what it decides: [{column, started, probability}]. */
  update(frame) {
    this.time = frame.time;
    if (frame.seconds <= 0) return [];
    this.enter(frame.time - frame.seconds);
    const values = Float64Array.from(this.columns, (column) => frame.probabilities[column]);
    const step = values.map((value) => Math.log(value + this.floor) - this.logBetween);
    const scale = frame.seconds / Math.max(this.rules.coherence_seconds, 1e-3);
    this.evidence = this.evidence.map((sum, i) => sum + step[i] * scale);
    this.sums = this.sums.map((sum, i) => sum + values[i] * frame.seconds);
    this.seconds += frame.seconds;
    const shape = argmax(values);
    this.seeShape(values[shape] >= CLEAR ? shape : -1, frame.time - frame.seconds);
    this.grow(frame.time);
    this.leave(frame.time);
    return this.commit(false);
  }

  /** Take the end of the frames; return what the best path holds that is not committed. */
  finish(time) {
    this.time = Math.max(time, this.time);
    const commits = this.commit(true);
    this.forget();
    return commits;
  }

  /** [column, progress 0 to 1] of what is held and not committed, or null. */
  get pending() {
    const found = this.best;
    if (found.first < 0) return null;
    const age = (this.time - found.started) / Math.max(this.shortest, 1e-3);
    const lead = (found.score - found.rival) / Math.max(this.rules.margin, 1e-3);
    return [this.columns[found.first], Math.min(Math.max(Math.min(age, lead), 0), 1)];
  }

  enter(time) {
    const rules = this.rules;
    const options = [this.quiet, this.open]
      .filter((state) => state.score > NEVER)
      .map((state) => ({ ...state, score: state.score - rules.letter_cost }));
    if (this.held >= 0) {
      const score = this.heldScore + this.evidence[this.held];
      options.push(between(score - rules.change_cost, this.held, Infinity));
    }
    const now = plus(this.scores, this.evidence);
    for (let turn = 0; turn < 2; turn++) {
      const place = argmax(now);
      if (now[place] > NEVER) {
        options.push(between(now[place] - rules.change_cost, place, Infinity, this.left(place)));
        now[place] = NEVER;
      }
    }
    if (!options.length) return;
    const top = options.reduce((most, option) => (option.score > most.score ? option : most));
    const scores = this.evidence.map((sum, i) => top.score - this.entryCosts[i] - sum);
    let oddPath = null;
    if (top.last >= 0) {
      let score = null;
      for (const option of options) {
        const repeated = this.repeated(option, top.last, time);
        if (score === null || repeated > score) [score, oddPath] = [repeated, option.path];
      }
      scores[top.last] += score - top.score;
    }
    const { sums, seconds } = this;
    this.young.push({ time, scores, sums, seconds, path: top.path, odd: top.last, oddPath });
  }

  repeated(option, place, time) {
    if (option.last !== place) return option.score;
    return time - option.since >= this.rules.gap_seconds ? option.score - this.rules.repeat_cost : NEVER;
  }

  grow(time) {
    while (this.young.length && time - this.young[0].time >= this.shortest - ROUNDING) {
      const young = this.young.shift();
      for (let place = 0; place < this.scores.length; place++) {
        if (!(young.scores[place] > this.scores[place])) continue;
        const path = before(young, place);
        this.scores[place] = young.scores[place];
        this.starts[place] = young.time;
        this.startSums[place] = young.sums[place];
        this.startSeconds[place] = young.seconds;
        this.paths[place] = path;
        this.first[place] = path.length ? path[0].place : place;
      }
    }
  }

  leave(time) {
    if (this.held >= 0) {
      const score = this.heldScore + this.evidence[this.held];
      if (score > this.quiet.score) this.quiet = between(score, this.held, time);
    }
    const now = plus(this.scores, this.evidence);
    const place = argmax(now);
    if (now[place] > this.open.score) this.open = between(now[place], place, time, this.left(place));
  }

  left(place) {
    return [...this.paths[place], this.hold(place)];
  }

  hold(place) {
    const seconds = this.seconds - this.startSeconds[place];
    const probability = (this.sums[place] - this.startSums[place]) / Math.max(seconds, 1e-9);
    return { place, started: this.starts[place], probability };
  }

  commit(last) {
    const commits = [];
    for (;;) {
      const found = (this.best = this.findBest());
      const hold = found.hold;
      if (!hold) return commits;
      const certain = found.score - found.rival >= this.rules.margin;
      const old = this.time - hold.started >= this.rules.lag_seconds - ROUNDING;
      if (!(certain || old || last)) return commits;
      commits.push({ column: this.columns[hold.place], started: hold.started, probability: hold.probability });
      this.agree(hold.place);
      this.keepPace(hold.started);
    }
  }

  keepPace(started) {
    if (this.lastStart !== null && started > this.lastStart && started - this.lastStart <= PACE_SECONDS) {
      this.intervals = [...this.intervals, started - this.lastStart].slice(-PACE_LETTERS);
    }
    this.lastStart = started;
    this.passed = [];
    this.followPace();
  }

  followPace() {
    if (!this.intervals.length) return;
    const middle = [...this.intervals].sort((a, b) => a - b)[this.intervals.length >> 1];
    this.shortest = Math.max(this.rules.hold_seconds, this.rules.pace_share * middle);
  }

  seeShape(place, time) {
    if (place === this.shape) return;
    if (this.shape >= 0 && time - this.shapeStart >= this.rules.hold_seconds - ROUNDING) {
      this.passed.push(this.shapeStart);
      if (this.passed.length > PASSED) {
        this.intervals = this.intervals.map((one) => HURRY * one);
        this.lastStart = null;
        this.passed = [];
        this.followPace();
      }
    }
    [this.shape, this.shapeStart] = [place, time];
  }

  findBest() {
    let nothingNew = this.quiet.score;
    if (this.held >= 0) nothingNew = Math.max(nothingNew, this.heldScore + this.evidence[this.held]);
    let found = best(nothingNew);
    if (this.open.score > found.score) {
      const hold = this.open.path[0];
      found = best(this.open.score, hold.place, hold, hold.started);
    }
    const now = plus(this.scores, this.evidence);
    let place = argmax(now);
    if (now[place] >= found.score && now[place] > nothingNew) {
      const hold = this.paths[place].length ? this.paths[place][0] : this.hold(place);
      found = best(now[place], hold.place, hold, hold.started);
    }
    const short = [];
    for (const young of this.young) {
      const scores = plus(young.scores, this.evidence);
      short.push(scores);
      place = argmax(scores);
      if (scores[place] > found.score) {
        const [hold] = before(young, place);
        found = hold
          ? best(scores[place], hold.place, hold, hold.started)
          : best(scores[place], place, null, young.time);
      }
    }
    if (found.first >= 0) found.rival = this.rival(found.first, nothingNew, now, short);
    return found;
  }

  rival(first, nothingNew, now, short) {
    let rival = nothingNew;
    if (this.open.path.length && this.open.path[0].place !== first) rival = Math.max(rival, this.open.score);
    now.forEach((score, place) => {
      if (this.first[place] !== first) rival = Math.max(rival, score);
    });
    this.young.forEach((young, i) => {
      const scores = short[i];
      if (young.odd >= 0) {
        const [hold] = before(young, young.odd);
        if ((hold ? hold.place : young.odd) !== first) rival = Math.max(rival, scores[young.odd]);
        scores[young.odd] = NEVER;
      }
      const holds = young.path ?? EMPTY;
      if (!holds.length) scores[first] = NEVER;
      if (!holds.length || holds[0].place !== first) rival = Math.max(rival, ...scores);
    });
    return rival;
  }

  agree(committed) {
    [this.held, this.heldScore] = [-1, NEVER];
    this.paths.forEach((path, place) => {
      let rest = after(path, committed);
      if (rest === null) {
        if (place === committed && !path.length && this.scores[place] > NEVER) {
          [this.held, this.heldScore] = [committed, this.scores[place]];
        }
        this.scores[place] = NEVER;
        rest = EMPTY;
      }
      this.paths[place] = rest;
      this.first[place] = rest.length ? rest[0].place : place;
    });
    this.young = this.young.map((young) => this.agreeing(young, committed));
    const rest = after(this.open.path, committed);
    const left = rest === null ? between() : { ...this.open, path: rest };
    [this.quiet, this.open] = left.path.length ? [between(), left] : [left, between()];
  }

  agreeing(young, committed) {
    const path = young.path === null ? null : after(young.path, committed);
    const oddPath = young.oddPath === null ? null : after(young.oddPath, committed);
    const scores = path === null ? new Float64Array(young.scores.length).fill(NEVER) : young.scores.slice();
    if (young.odd >= 0) scores[young.odd] = oddPath === null ? NEVER : young.scores[young.odd];
    return { ...young, scores, path, oddPath };
  }
}
