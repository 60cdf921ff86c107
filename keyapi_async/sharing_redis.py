"""What processes of many machines share, in Redis; by its clock, in one round trip a slot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    RedisError,
    ResponseError,
)

from .budget import CREDITS_PER_REQUEST
from .errors import ConfigurationError, ShareError
from .guard import QUIET, Guard
from .shared_state import HOLD, Claim, Reply, State

PATIENCE = 2.0
"""Seconds to wait for Redis to connect, and to answer."""

DAY = 86_400
"""Seconds after which what nobody asked for is forgotten."""

# What `State` and `FileStore` do, in one step of Redis. KEYS: slots, guard, spent, budgets.
_RESERVE = f"""
local clock, qps, margin = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local late, per, reservation = tonumber(ARGV[4]), tonumber(ARGV[6]), ARGV[7]
local time = redis.call('TIME')
local now = clock or time[1] + time[2] / 1000000
local function text(number) return string.format('%.17g', number) end
local function read(key, ...)
  local numbers = {{}}
  for i, value in ipairs(redis.call('HMGET', key, ...)) do numbers[i] = tonumber(value or 0) end
  return unpack(numbers)
end
local function keep(key, seconds)
  redis.call('EXPIRE', key, math.min(math.ceil(math.max(seconds, 0)), 1e9) + {DAY})
end
for i = 8, #ARGV do redis.call('ZREM', KEYS[3], ARGV[i]) end

local last_slot, next_slot, seen, ceiling, ceiling_until =
  read(KEYS[1], 'last_slot', 'next_slot', 'seen', 'ceiling', 'ceiling_until')
local paused_until, cut, changed_at, quiet =
  read(KEYS[2], 'paused_until', 'cut', 'changed_at', 'quiet')
local was_ahead = seen > now
if was_ahead then -- the clock was set back
  local back = seen - now
  last_slot, next_slot, ceiling_until = last_slot - back, next_slot - back, ceiling_until - back
  paused_until, changed_at = paused_until - back, changed_at - back
  redis.call('HSET', KEYS[2], 'paused_until', text(paused_until), 'changed_at', text(changed_at))
  keep(KEYS[2], paused_until - now)
end
if qps <= ceiling or now > ceiling_until then ceiling = qps end
local pace = ceiling
if cut > 0 then pace = math.min(cut, ceiling) end
next_slot = math.max(next_slot, now - late, paused_until)
if qps == ceiling then ceiling_until = next_slot + {HOLD} end
local wait, pause = math.max(next_slot - now, 0), math.max(paused_until - now, 0)
local is_first = last_slot < paused_until and 1 or 0
local quiet_for = now - math.max(changed_at, paused_until)
local may_climb = pace < ceiling and quiet_for >= (quiet > 0 and quiet or {QUIET}) and 1 or 0

if was_ahead then -- nothing is spent after the next slot, or binding for longer than from there
  local latest, budgets = now + wait, redis.call('HGETALL', KEYS[4])
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. text(latest), '+inf')) do
    redis.call('ZADD', KEYS[3], text(latest), one)
  end
  for i = 1, #budgets, 2 do
    local since, till = string.match(budgets[i + 1], '(%S+) (%S+)')
    redis.call('HSET', KEYS[4], budgets[i], text(math.min(tonumber(since), now)) .. ' ' ..
      text(math.min(tonumber(till), latest + {HOLD})))
  end
end

local remaining, room_in, longest = '', '', 0
if per > 0 then
  redis.call('HSET', KEYS[4], ARGV[5] .. ' ' .. ARGV[6],
    text(now) .. ' ' .. text(now + wait + {HOLD}))
  local all = redis.call('HGETALL', KEYS[4])
  for i = 1, #all, 2 do
    local most, window = string.match(all[i], '(%S+) (%S+)')
    local since, till = string.match(all[i + 1], '(%S+) (%S+)')
    most, window = tonumber(most), tonumber(window)
    if since + window < now then
      redis.call('HDEL', KEYS[4], all[i])
    else
      longest = math.max(longest, window)
      if tonumber(till) >= now then
        local left = most - {CREDITS_PER_REQUEST} *
          redis.call('ZCOUNT', KEYS[3], '(' .. text(now - window), '+inf')
        remaining = math.min(remaining == '' and math.huge or remaining, math.max(left, 0))
        if left < {CREDITS_PER_REQUEST} then
          local oldest = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. text(now - window), '+inf',
            'WITHSCORES', 'LIMIT', 0, 1)[2]
          local wanted = oldest and oldest + window - now or math.huge
          room_in = math.max(room_in == '' and 0 or room_in, wanted)
        end
      end
    end
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now - longest))
end

if pause == 0 and room_in == '' then
  last_slot, next_slot = next_slot, next_slot + 1 / ((1 - margin) * pace)
  if per > 0 then redis.call('ZADD', KEYS[3], text(now + wait), reservation) end
end
if per > 0 then
  keep(KEYS[3], longest)
  keep(KEYS[4], longest)
end
redis.call('HSET', KEYS[1], 'last_slot', text(last_slot), 'next_slot', text(next_slot),
  'seen', text(now), 'ceiling', text(ceiling), 'ceiling_until', text(ceiling_until))
keep(KEYS[1], wait)
return {{text(pace), text(wait), is_first, may_climb, text(pause), tostring(remaining),
  tostring(room_in)}}
"""


class RedisStore:
    """A share in a Redis server, or what speaks its protocol.

    Args:
        url: The server's address; its password is in no error.
        name: Which of the server's shares.
        clock: Takes the place of the server's clock, in tests.

    Raises:
        ConfigurationError: The address can't be right.
    """

    def __init__(self, url: str, name: str, clock: Callable[[], float] | None = None) -> None:
        try:
            self._redis = redis.from_url(
                url,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 0),  # the client's policy does that
            )
            # Its options are looked at only now.
            self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        except (TypeError, ValueError):  # it may quote the password
            problem = "share: what Redis is reached by must look like redis://HOST:6379/0"
            raise ConfigurationError(problem) from None
        self._script = self._redis.register_script(_RESERVE)
        # In braces: Redis Cluster keeps them together.
        kinds = ("slots", "guard", "spent", "budgets")
        self._keys = [f"keyapi_async:{{{name}}}:{kind}" for kind in kinds]
        self._clock = clock

    async def reserve(self, claim: Claim) -> Reply:
        """Reserve a slot and credits."""
        clock = "" if self._clock is None else repr(self._clock())
        numbers = (claim.qps, claim.margin, claim.late, claim.credits, claim.per)
        arguments = [clock, *map(repr, numbers), claim.reservation, *claim.returned]
        async with _failing_clearly():
            found = await self._script(keys=self._keys, args=arguments)
        pace, wait, is_first, may_climb, pause, remaining, room_in = found
        return Reply(
            pace=float(pace),
            wait=float(wait),
            is_first=bool(is_first),
            may_climb=bool(may_climb),
            pause=float(pause),
            remaining=int(float(remaining)) if remaining else None,
            room_in=float(room_in) if room_in else None,
        )

    async def update(self, change: Callable[[Guard, float], object]) -> tuple[Guard, float]:
        """Have a function change the guard, again if another process does so meanwhile."""
        slots, guards = self._keys[:2]
        result: list[tuple[Guard, float]] = []

        async def step(pipe: Pipeline) -> None:
            found: Any = await pipe.hgetall(guards)
            known: Any = await pipe.hmget(slots, "ceiling", "seen")
            ceiling, seen = (float(number or 0) for number in known)
            seconds, micros = await pipe.time()
            clock = seconds + micros / 1e6 if self._clock is None else self._clock()
            now = max(clock, seen)  # the script sees to a clock that was set back
            fields = {name.decode(): float(value) for name, value in found.items()}
            state = State(**fields, ceiling=ceiling)
            guard = state.guard()
            change(guard, now)
            state.adopt(guard)
            names = ("paused_until", "cut", "changed_at", "quiet", "is_probing")
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.hset(guards, mapping={name: repr(getattr(state, name)) for name in names})
            pipe.expire(guards, DAY + int(min(max(guard.paused_until - now, 0), 1e9)))
            result[:] = [(guard, now)]

        async with _failing_clearly():
            await self._redis.transaction(step, guards)
        return result[0]

    async def give_back(self, reservations: tuple[str, ...]) -> None:
        """Give credits back."""
        async with _failing_clearly():
            await self._redis.zrem(self._keys[2], *reservations)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


@asynccontextmanager
async def _failing_clearly() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        failure = ShareError(f"Redis, which keeps what processes share, failed: {error}")
        wrong = (AuthenticationError, AuthorizationError, ResponseError)
        failure.permanent = isinstance(error, wrong) and not str(error).startswith("LOADING")
        raise failure from None
