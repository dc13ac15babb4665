"""Writes files that a decoder takes as programs write them, while `mxr watch` shows their directory, and prints when each is pushed.

    live.py MXR LIST [EACH]     LIST names a file a line (REPORT.taken of judge.py); EACH takes every EACHth for the slow ways

A way to write: into place by a rename; over the old file; slowly, in four pieces with pauses; the same into a file that was made as long
as it will be. A part is torn if it is pushed while the writer has the file open, and differs from the whole file.
"""

import collections, gzip, os, pathlib, queue, socket, subprocess, sys, tempfile, threading, time

PAUSE = 0.06


def read_parts(address, parts):
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        stream = connection.makefile("rb")
        while line := stream.readline():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
                while stream.readline().strip():
                    pass
                parts.put((time.monotonic(), stream.read(length)))


def rename(path, body):
    other = path.with_name("." + path.name)
    other.write_bytes(body)
    os.replace(other, path)
    return time.monotonic()


def over(path, body):
    with open(path, "wb", buffering=0) as file:
        file.write(body)
    return time.monotonic()


def slowly(path, body, is_long=False):
    with open(path, "wb", buffering=0) as file:
        if is_long:
            os.posix_fallocate(file.fileno(), 0, len(body))
        piece = max(1, len(body) // 4 + 1)
        for at in range(0, len(body), piece):
            time.sleep(PAUSE if at else 0)
            file.write(body[at:at + piece])
        time.sleep(PAUSE)
    return time.monotonic()


def longer(path, body):
    return slowly(path, body, True)


def main():
    names = pathlib.Path(sys.argv[2]).read_text().splitlines()
    each = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    folder = pathlib.Path(tempfile.mkdtemp())
    server = subprocess.Popen([sys.argv[1], "watch", folder, "--port", "0", "--keepalive", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    parts = queue.Queue()
    address = ("127.0.0.1", int(server.stdout.readline().decode().strip().rstrip("/").rsplit(":", 1)[1]))
    threading.Thread(target=read_parts, args=(address, parts), daemon=True).start()
    print("| written | files | pushed within 50 ms | within 250 ms | within 1.5 s | never | torn while held open |")
    print("|---|---|---|---|---|---|---|")
    said = []
    for way, step in ((rename, 1), (over, 1), (slowly, each), (longer, each)):
        count, last = collections.Counter(), None
        for name in names[::step]:
            body = pathlib.Path(name).read_bytes()
            shown = gzip.decompress(body) if name.endswith("svgz") else body
            if shown == last or len(body) > 1_000_000:
                continue
            path = folder / ("live." + name.rsplit(".", 1)[-1])
            count["files"] += 1
            start = time.monotonic()
            closed, arrived = way(path, body), None
            while arrived is None:
                try:
                    at, part = parts.get(timeout=max(0.01, closed + 4 - time.monotonic()))
                except queue.Empty:
                    break
                if part == shown:
                    arrived = at
                elif start < at < closed and part != last:
                    count["torn"] += 1
                    said.append(f"torn {way.__name__} {len(part)} of {len(body)} bytes {name}")
            last = shown if arrived else last
            delay = 9 if arrived is None else arrived - closed
            count[next(limit for limit in (0.05, 0.25, 1.5, 99) if delay <= limit)] += 1
            if delay > 0.25:
                said.append(f"{way.__name__} {delay:.2f} s {name}")
        columns = [count[column] for column in ("files", 0.05, 0.25, 1.5, 99, "torn")]
        print(f"| {way.__name__} | " + " | ".join(map(str, columns)) + " |", flush=True)
    server.terminate()
    print("\n".join(said))


main()
