"""Never more holders than permits, in first-in, first-out order, also when a waiter is cancelled."""

import asyncio

from cluster.lookup.semaphore import Semaphore


class Guests:
    """Tasks that each hold a permit until the test releases them."""

    def __init__(self, permits: int) -> None:
        self.semaphore = Semaphore(permits)
        self.inside: list[int] = []
        self.leave: dict[int, asyncio.Event] = {}

    def comes(self, number: int) -> asyncio.Task[None]:
        self.leave[number] = asyncio.Event()
        return asyncio.create_task(self._visit(number))

    async def goes(self, number: int) -> None:
        self.leave[number].set()
        await settle()

    async def _visit(self, number: int) -> None:
        async with self.semaphore:
            self.inside.append(number)
            try:
                await self.leave[number].wait()
            finally:
                self.inside.remove(number)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_there_are_permits_and_first_come_first_served() -> None:
    guests = Guests(2)
    tasks = [guests.comes(number) for number in range(5)]
    await settle()
    assert guests.inside == [0, 1]
    await guests.goes(1)
    assert guests.inside == [0, 2]
    await guests.goes(0)
    await guests.goes(2)
    assert guests.inside == [3, 4]
    await guests.goes(3)
    await guests.goes(4)
    await asyncio.gather(*tasks)
    later = guests.comes(5)
    await settle()
    assert guests.inside == [5]
    await guests.goes(5)
    await later


async def test_a_waiter_that_is_cancelled_takes_no_permit() -> None:
    guests = Guests(1)
    first, second, third = (guests.comes(number) for number in range(3))
    await settle()
    second.cancel()
    await settle()
    await guests.goes(0)
    assert guests.inside == [2]
    await guests.goes(2)
    await asyncio.gather(first, second, third, return_exceptions=True)


async def test_a_permit_given_to_a_waiter_that_is_cancelled_at_that_moment_is_handed_on() -> None:
    guests = Guests(1)
    first, second, third = (guests.comes(number) for number in range(3))
    await settle()
    guests.leave[0].set()
    await asyncio.sleep(0)  # the first is released, and is about to pass its permit to the second
    first_done = asyncio.create_task(asyncio.wait([first]))
    second.cancel()
    await settle()
    assert guests.inside == [2]
    await guests.goes(2)
    await asyncio.gather(first, second, third, first_done, return_exceptions=True)


async def test_an_error_inside_gives_the_permit_back() -> None:
    semaphore = Semaphore(1)
    for _ in range(2):
        try:
            async with semaphore:
                raise ValueError
        except ValueError:
            pass
