"""A chat between two people: `python chat.py listen bob` at one, `python chat.py call alice` at the other."""

import asyncio
import sys

import overlay


async def talk(stream: overlay.Stream) -> None:
    """What is typed goes there, what comes is printed, until one side ends."""

    async def listen() -> None:
        async for line in stream:
            print(f"{stream.peer.name}: {line.decode().rstrip()}", flush=True)

    listening = asyncio.create_task(listen())
    while line := await asyncio.to_thread(sys.stdin.readline):
        stream.write(line.encode())
        await stream.drain()
    stream.write_eof()
    await listening


async def main(role: str, who: str) -> None:
    async with overlay.Endpoint() as me:
        if role == "call":
            async with await me.connect(who, "chat") as stream:
                await talk(stream)
            return
        async with me.listen("chat", allow=[who]) as listener:
            print(f"waiting for {who}", flush=True)
            async with await listener.accept() as stream:
                await talk(stream)


asyncio.run(main(*sys.argv[1:]))
