"""A feed as one writes it in Python with aiohttp: each viewer takes the newest part when it has taken the one before."""
import asyncio
import sys
import time

from aiohttp import web

size, rate, port = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[6])
newest, published = b"", asyncio.Condition()


async def publish(_app):
    async def work():
        global newest
        due = time.monotonic()
        while True:
            due += 1 / rate
            await asyncio.sleep(due - time.monotonic())
            body = b"<published %016d" % (time.time_ns() // 1000)
            body += b"." * (size - len(body) - 7) + b"</part>"
            head = b"Content-Type: image/x-bench\r\nContent-Length: %d\r\n\r\n" % size
            async with published:
                newest = head + body + b"\r\n--B\r\n"
                published.notify_all()

    task = asyncio.create_task(work())
    yield
    task.cancel()


async def stream(request):
    reply = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=B"})
    await reply.prepare(request)
    seen = b""
    try:
        await reply.write(b"--B\r\n")
        while True:
            async with published:
                await published.wait_for(lambda: newest is not seen)
            seen = newest
            await reply.write(seen)
    except ConnectionResetError:
        return reply


app = web.Application()
app.cleanup_ctx.append(publish)
app.router.add_get("/stream", stream)
web.run_app(app, host="127.0.0.1", port=port, backlog=4096, access_log=None, print=None)
