"""Sound in, motion out: python motion.py song.wav ws://127.0.0.1:8080/motion > song.jsonl"""

import asyncio
import json
import sys
import wave

from websockets.asyncio.client import connect


async def follow(song: wave.Wave_read, url: str) -> None:
    """Send 16-bit PCM, tenth of a second by tenth, and print each frame as it comes."""
    async with connect(url) as socket:
        rate, channels = song.getframerate(), song.getnchannels()
        await socket.send(json.dumps({"rate": rate, "channels": channels, "format": "s16"}))
        sending = asyncio.create_task(send(song, socket))
        async for line in socket:
            print(line)
        await sending


async def send(song: wave.Wave_read, socket) -> None:
    while pcm := song.readframes(song.getframerate() // 10):
        await socket.send(pcm)
    await socket.send("end")


if __name__ == "__main__":
    with wave.open(sys.argv[1]) as song:
        asyncio.run(follow(song, sys.argv[2]))
