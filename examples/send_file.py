"""Send a file without any gateway beside it: run it with a file, and at the other end with the link that it prints."""

import asyncio
import sys
from pathlib import Path

import overlay


async def send(path: Path, settings: dict[str, object]) -> None:
    async with overlay.Endpoint(standalone=True, settings=settings) as me:
        async with me.listen("file") as listener:
            print(await me.invite("file"), flush=True)
            async with await listener.accept() as stream:
                stream.write(path.name.encode() + b"\n")
                stream.write(path.read_bytes())
                await stream.drain()


async def receive(link: str, settings: dict[str, object]) -> None:
    async with overlay.Endpoint(standalone=True, settings=settings) as me:
        sender = await me.join(link, "sender")
        async with await me.connect(sender.id, "file") as stream:
            name = Path((await stream.readline()).decode().strip()).name
            Path(name).write_bytes(await stream.read())  # an error if it was cut off on the way
            print("received", name)


async def main(what: str, *settings: str) -> None:
    chosen = dict(setting.split("=", 1) for setting in settings)
    await (receive(what, chosen) if what.startswith("overlay:") else send(Path(what), chosen))


asyncio.run(main(*sys.argv[1:]))
