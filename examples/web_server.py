"""A web server that listens on no port: only contacts reach it, as http://hello.<our name>.overlay/, and it knows who asks."""

import asyncio
import weakref

from aiohttp import web

import overlay

callers: weakref.WeakKeyDictionary[asyncio.BaseTransport, overlay.Peer] = weakref.WeakKeyDictionary()


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"Hello, {callers[request.transport].name}!\n")


async def main() -> None:
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    async with overlay.Endpoint() as me, me.listen("hello", allow=["contacts"]) as listener:
        print("http://hello.NAME.overlay/ is there", flush=True)
        async for stream in listener:
            callers[stream.hand_over(runner.server())] = stream.peer


asyncio.run(main())
