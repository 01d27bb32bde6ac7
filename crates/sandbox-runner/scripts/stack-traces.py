"""Finds stack traces in logs: language, error, innermost frame of the application's own code, how often.

Run as `python3 -I -S stack-traces.py FILE...` in the analyze lane, confined: it reads its arguments and prints one JSON document.
What it reads is data: nothing in it is evaluated.
"""

import json
import re
import sys

MOST_TRACES = 100
MOST_BYTES = 4 * 1024 * 1024

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-][\d:]+) ?")
PYTHON_FRAME = re.compile(r'^\s+File "([^"]{1,300})", line (\d+)(?:, in (\S+))?')
PYTHON_ERROR = re.compile(r"^(?:[A-Za-z_][\w.]*)(?:: .*)?$")
JAVA_HEAD = re.compile(r"^(?:Exception in thread \"[^\"]*\" |Caused by: |.*?\b)?((?:[a-zA-Z_$][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error|Throwable)\b.*)$")
JAVA_FRAME = re.compile(r"^\s+at ((?:[\w$]+\.)+[\w$<>]+)\(([^)]*)\)")
NODE_HEAD = re.compile(r"^(?:Uncaught )?([A-Z]\w*(?:Error|Exception)\b(?: \[\w+\])?(?:: .*)?)$")
NODE_FRAME = re.compile(r"^\s+at (?:(?:async )?(\S.*?) \()?((?:file://)?/?[^\s()]+?):(\d+):\d+\)?$")
GO_HEAD = re.compile(r"^(panic: .*|fatal error: .*)$")
GO_FRAME = re.compile(r"^\s+(/\S+\.go):(\d+)")
GO_CALL = re.compile(r"^(?:goroutine .*|created by .*|[\w./*()@\[\]-]+\(.*\)|\s*)$")
RUBY_HEAD = re.compile(r"^(\S+\.rb):(\d+):in [`'](.*?)': (.*\((?:[A-Z]\w*(?:::)?)+\))$")

# Frames of run times and libraries explain nothing about the program.
FOREIGN = re.compile(
    r"/(?:site-packages|dist-packages|node_modules|lib/python[\d.]+|usr/local/go/src|usr/lib|pkg/mod|gems)/"
    r"|^(?:java|javax|jdk|sun|com\.sun|org\.springframework|org\.apache|org\.hibernate|io\.netty|kotlin|scala)\."
    r"|^node:|^internal/|<frozen "
)


def innermost(frames, last):
    """The application's own frame nearest to the error; any frame where there is no such."""
    near_first = list(reversed(frames)) if last else frames
    for place, shown in near_first:
        if not FOREIGN.search(place):
            return shown
    return near_first[0][1] if near_first else None


def python_trace(lines, i):
    frames = []
    j = i + 1
    while j < len(lines) and (lines[j].startswith(" ") or not lines[j].strip()):
        found = PYTHON_FRAME.match(lines[j])
        if found:
            frames.append((found[1], f"{found[1]}:{found[2]} in {found[3] or '<module>'}"))
        j += 1
    if j < len(lines) and frames and PYTHON_ERROR.match(lines[j]):
        return j + 1, ("Python", lines[j], innermost(frames, last=True))
    return i + 1, None


def java_trace(lines, i, head):
    frames = []
    error = head[1]
    j = i + 1
    while j < len(lines):
        found = JAVA_FRAME.match(lines[j])
        cause = JAVA_HEAD.match(lines[j]) if lines[j].startswith("Caused by: ") else None
        if found:
            frames.append((found[1], f"{found[1]}({found[2]})"))
        elif cause:
            # The last cause is the root of the exception.
            error, frames = cause[1], []
        elif not re.match(r"^\s+\.\.\. \d+ (?:more|common)", lines[j]):
            break
        j += 1
    return (j, ("Java", error, innermost(frames, last=False))) if frames else (i + 1, None)


def node_trace(lines, i, head):
    frames = []
    j = i + 1
    while j < len(lines):
        found = NODE_FRAME.match(lines[j])
        if not found:
            break
        frames.append((found[2], f"{found[2]}:{found[3]} in {found[1] or '<anonymous>'}"))
        j += 1
    return (j, ("Node", head[1], innermost(frames, last=False))) if frames else (i + 1, None)


def go_trace(lines, i, head):
    frames = []
    started = False
    j = i + 1
    while j < len(lines) and j < i + 200:
        if lines[j].startswith("goroutine "):
            if started and frames:
                break
            started = True
        found = GO_FRAME.match(lines[j])
        if found:
            frames.append((found[1], f"{found[1]}:{found[2]}"))
        elif started and not GO_CALL.match(lines[j]):
            break
        j += 1
    return (j, ("Go", head[1], innermost(frames, last=False))) if started and frames else (i + 1, None)


def traces(lines):
    i = 0
    while i < len(lines):
        line = lines[i]
        trace = None
        following = lines[i + 1] if i + 1 < len(lines) else ""
        if line.startswith("Traceback (most recent call last):"):
            i, trace = python_trace(lines, i)
        elif go := GO_HEAD.match(line):
            i, trace = go_trace(lines, i, go)
        elif following.lstrip().startswith("at ") and (head := JAVA_HEAD.match(line)):
            i, trace = java_trace(lines, i, head)
        elif following.lstrip().startswith("at ") and (head := NODE_HEAD.match(line)):
            i, trace = node_trace(lines, i, head)
        elif ruby := RUBY_HEAD.match(line):
            i, trace = i + 1, ("Ruby", ruby[4], f"{ruby[1]}:{ruby[2]} in {ruby[3]}")
        else:
            i += 1
        if trace:
            yield trace


def main(paths):
    counted = {}
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(MOST_BYTES)
        lines = [STAMP.sub("", line) for line in text.splitlines()]
        for language, error, frame in traces(lines):
            key = (language, error[:500], frame and frame[:500])
            counted[key] = counted.get(key, 0) + 1
    found = [
        {"language": language, "error": error, "frame": frame, "count": count}
        for (language, error, frame), count in sorted(counted.items(), key=lambda item: -item[1])
    ]
    json.dump({"traces": found[:MOST_TRACES], "leftOut": max(0, len(found) - MOST_TRACES)}, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
