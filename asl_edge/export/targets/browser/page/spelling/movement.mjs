// How fast a hand moves, from its landmarks. The same as asl_edge/runtime/spelling/movement.py.

const SLOWEST = 0.05; // seconds over which movement is measured

export class Movement {
  constructor() {
    this.clear();
  }

  clear() {
    this.points = [];
  }

  /** Speed in spans of the hand per second, null where it is not known. `landmarks`: 21 points [x, y, ...]. */
  speed(landmarks, time) {
    const points = landmarks.map((point) => [point[0], point[1]]);
    if (!points.every((point) => point.every(Number.isFinite))) {
      this.clear();
      return null;
    }
    while (this.points.length > 1 && time - this.points[1][0] >= SLOWEST) this.points.shift();
    let speed = null;
    const sides = [0, 1].map((axis) => {
      const values = points.map((point) => point[axis]);
      return Math.max(...values) - Math.min(...values);
    });
    const span = Math.max(...sides);
    if (this.points.length && time - this.points[0][0] >= SLOWEST && span > 0) {
      const last = this.points[this.points.length - 1];
      const since = last[0] < time ? [this.points[0], last] : [this.points[0]];
      speed = Math.min(...since.map(([start, earlier]) => distance(points, earlier) / span / (time - start)));
    }
    this.points.push([time, points]);
    return speed;
  }
}

/** The median of how far points have moved. */
function distance(points, earlier) {
  const moved = points.map((point, i) => Math.sqrt((point[0] - earlier[i][0]) ** 2 + (point[1] - earlier[i][1]) ** 2));
  moved.sort((a, b) => a - b);
  const middle = moved.length >> 1;
  return moved.length % 2 ? moved[middle] : (moved[middle - 1] + moved[middle]) / 2;
}
