"""The cache of values with a TTL."""

from cluster.lookup.ttl_cache import TtlCache


def test_values_end_and_the_least_used_goes_first() -> None:
    now = [0.0]
    cache: TtlCache[str, int] = TtlCache(2, lambda: now[0])
    cache.put("a", 1, 10)
    cache.put("b", 2, 20)
    assert cache.get("a") == 1
    cache.put("c", 3, 20)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    now[0] = 10
    assert (cache.get("a"), cache.get("c"), len(cache)) == (None, 3, 1)
    cache.forget("c")
    assert cache.get("c") is None


def test_it_is_bounded_by_what_its_values_weigh() -> None:
    cache: TtlCache[str, str] = TtlCache(100, lambda: 0.0, most_bytes=10, weigh=len)
    cache.put("a", "aaaa", 10)
    cache.put("b", "bbbb", 10)
    cache.put("a", "aa", 10)  # a value that is put again counts once
    cache.put("c", "cccc", 10)
    assert [cache.get(key) for key in "abc"] == ["aa", "bbbb", "cccc"]
    cache.put("d", "d" * 7, 10)
    assert [cache.get(key) for key in "abcd"] == [None, None, None, "d" * 7]
    cache.put("e", "e" * 100, 10)
    assert cache.get("e") == "e" * 100  # the last value stays, whatever its size
    assert len(cache) == 1


def test_a_value_that_is_put_again_is_the_youngest() -> None:
    now = 0.0
    cache: TtlCache[int, str] = TtlCache(3, lambda: now)
    for number in range(5):
        cache.put(number, "x", 10)
    assert [number for number in range(5) if cache.get(number)] == [2, 3, 4]
    cache.put(2, "y", 10)  # put again, so it is now the newest
    cache.put(5, "x", 10)
    assert [number for number in range(6) if cache.get(number)] == [2, 4, 5]
    now = 10.0
    assert cache.get(2) is None
