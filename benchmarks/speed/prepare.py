"""`asl-edge data prepare` vs. the tutorial's own loop on the same images, in turns.

    python -m benchmarks.speed.prepare SOURCE [--repeats 5] [--classes A,B,C] [--copies 1]

SOURCE has one folder per class. The tutorial expects flat files `A_34.jpg`: they are linked (or copied) into a
temporary folder under such names, and both read them from there. Writes results/speed/NAME.{json,md}.

What is compared: the tutorial lists a folder, reads and resizes each image with OpenCV into lists and saves six arrays.
Ours also checks every file, finds duplicates, computes SHA-256 of files and arrays, splits by blocks, writes a leak
report, a manifest and a contact sheet, and waits until all of it is on the disk, which the tutorial does not; `tutorial
+ fsync` adds that wait to it. Each is one whole process, imports included (the tutorial's without Keras, from which it
needs only one-hot vectors here).
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.process import run
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result

TUTORIAL = """
import os, random, sys
from random import shuffle
import cv2
import numpy as np
data_folder_path, npy_data_path, names, train, val, sync = sys.argv[1:7]
random.seed(0)
files = os.listdir(data_folder_path)
for i in range(10):
    shuffle(files)
class_dic = {name: number for number, name in enumerate(names.split(","))}
class_count = dict.fromkeys(class_dic, 0)
X, Y, X_val, Y_val, X_test, Y_test = [], [], [], [], [], []
for file_name in files:
    label = file_name.split("_")[0]  # the tutorial: file_name[0], which cannot tell "space" from "S"
    if label in class_dic:
        path = data_folder_path + "/" + file_name
        image = cv2.imread(path)
        resized_image = cv2.resize(image, (224, 224))
        if class_count[label] < int(train):
            class_count[label] += 1
            X.append(resized_image)
            Y.append(class_dic[label])
        elif class_count[label] >= int(train) and class_count[label] < int(train) + int(val):
            class_count[label] += 1
            X_val.append(resized_image)
            Y_val.append(class_dic[label])
        else:
            X_test.append(resized_image)
            Y_test.append(class_dic[label])
Y, Y_val, Y_test = (np.eye(len(class_dic))[y] for y in (Y, Y_val, Y_test))
os.makedirs(npy_data_path, exist_ok=True)
for name, images, classes in (("train", X, Y), ("validation", X_val, Y_val), ("test", X_test, Y_test)):
    np.save(npy_data_path + "/" + name + "_set.npy", images)
    np.save(npy_data_path + "/" + name + "_classes.npy", classes)
if sync == "sync":
    for name in os.listdir(npy_data_path):
        with open(npy_data_path + "/" + name, "rb+") as file:
            os.fsync(file.fileno())
"""


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--classes", help="such as A,B,C; default: all folders of SOURCE")
    parser.add_argument("--copies", type=int, default=1, help="copies of each image, for larger sets")
    parser.add_argument("--name", default="prepare", help="name of the result files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        classes = options.classes.split(",") if options.classes else sorted(p.name for p in options.source.iterdir())
        images = flatten(options.source, work / "flat", classes, options.copies)
        results = measure(work, classes, images, options.repeats)
    results["machine"] = describe_machine()
    write_result(f"speed/{options.name}", results, markdown(results))


def flatten(source: Path, flat: Path, classes: list[str], copies: int) -> int:
    """Link or copy the images as `A_34.jpg`; further copies differ in one trailing byte, so none is a duplicate."""
    flat.mkdir()
    count = 0
    for name in classes:
        for number, path in enumerate(sorted((source / name).iterdir())):
            for copy in range(copies):
                to = flat / f"{name}_{number * copies + copy}{path.suffix}"
                if copy:
                    to.write_bytes(path.read_bytes() + copy.to_bytes(4, "little"))
                else:
                    link_or_copy(path, to)
                count += 1
    return count


def link_or_copy(path: Path, to: Path) -> None:
    """Link `path` to `to`, or copy it where links cannot be made (other disk, Windows)."""
    try:
        os.link(path, to)
    except OSError:
        shutil.copyfile(path, to)


def measure(work: Path, classes: list[str], images: int, repeats: int) -> dict[str, Any]:
    """Run all in turns, so that a change of the machine's speed affects all of them; the first round only warms up."""
    per_class = images // len(classes)
    train, val = round(per_class * 0.7), round(per_class * 0.15)
    flat, names = str(work / "flat"), ",".join(classes)
    tutorial = [sys.executable, "-c", TUTORIAL, flat, str(work / "out"), names, str(train), str(val)]
    ours = [sys.executable, "-m", "asl_edge", "data", "prepare", flat, "--out", str(work / "out"), "--classes", names]
    commands = {
        "tutorial": [*tutorial, "no"],
        "tutorial + fsync": [*tutorial, "sync"],
        "asl-edge": ours,
        "asl-edge --split random": [*ours, "--split", "random"],
    }
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, command in commands.items():
            shutil.rmtree(work / "out", ignore_errors=True)
            if hasattr(os, "sync"):
                os.sync()  # what the previous command left unwritten must not slow this one
            done = run(command).to_json()
            if turn:
                samples[name].append(done)
                print(f"{name}: {images / done['seconds']:.0f} images/s", file=sys.stderr)
    return {
        "images": images,
        "classes": len(classes),
        "repeats": repeats,
        "summary": {name: summary(images, runs) for name, runs in samples.items()},
        "samples": samples,
    }


def summary(images: int, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over the runs."""

    def median(key: str) -> float | None:
        values = [each[key] for each in runs if each[key] is not None]
        return round(statistics.median(values), 3) if values else None

    seconds = median("seconds") or 0.0
    return {
        "seconds": seconds,
        "images_per_second": round(images / seconds, 1),
        "cpu_seconds": median("cpu_seconds"),
        "peak_rss_mb": median("peak_rss_mb"),
        "peak_anonymous_mb": median("peak_anonymous_mb"),
    }


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    base = results["summary"]["tutorial"]["images_per_second"]

    def memory(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.0f}"

    rows = []
    for name, row in results["summary"].items():
        rate = row["images_per_second"]
        times = [f"{rate:.0f}", f"{rate / base:.2f}", f"{row['seconds']:.2f}", f"{row['cpu_seconds'] or 0:.2f}"]
        rows.append([name, *times, memory(row["peak_rss_mb"]), memory(row["peak_anonymous_mb"])])
    head = ["", "images/s", "times the tutorial", "seconds", "CPU seconds", "peak RSS, MB", "peak RssAnon, MB"]
    return page(
        "# Preparing images: `asl-edge data prepare` vs. the tutorial's loop",
        "",
        f"{results['images']} images of {results['classes']} classes, medians of {results['repeats']} runs in turns "
        "after one to warm up; whole processes, imports included. RssAnon is memory without mapped file pages. "
        "`asl-edge` waits until everything is on the disk (fsync), the tutorial does not: the second row adds that.",
        "",
        *markdown_table(head, rows),
        "",
        machine_line(results["machine"]) + ".",
    )


if __name__ == "__main__":
    main()
