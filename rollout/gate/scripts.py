"""Lua that Redis executes as one step."""

# Add up the counts of both arms of a stage visit, and trip the rollout if its errors exceed their limit. Counting and
# tripping are one script, so that the errors of all processes are compared with the limit at the moment the last of
# them arrives. Both arms are one script, so that what happened at the same time is counted in the same slot.
#
# KEYS
#   1  the visit: a hash with the candidate's requests and errors, and what the control loop noted of it
#   2  prefix of the visit's slots; a slot holds the counts of ARGV[1] seconds, its fields are "step:arm:count"
#   3  this batch; a batch that is sent twice counts once
#   4  the trip of the attempt: the number of its errors
#   5  the channel that announces it
#   6  prefix of the sets of targeting keys that failed, by arm and hour
#   7  prefix of the sets of targeting keys that were seen, by percent step
#   8  prefix of the totals of an arm over all visits, which only grow
# ARGV
#   1  length of a slot, in seconds
#   2  lifetime of the totals and of the visit, in seconds
#   3  the attempt, for the announcement
#   4  the limit of errors; -1: no limit
#   5  the count judges so many requests of the candidate; -1: always
#   6  length of the window of a count that always judges, in slots; 0: the whole visit
#   7  1 if this process has counted in this visit before: then the visit must be there
#   8  the counts: a JSON object of "step:arm:count" to a number
#   9  the keys that failed: a JSON array of [step, arm, hash, hash, ...]
#  10  the keys that were seen: the same
#
# Returns 1 if this batch tripped the rollout, else 0.
ADD_COUNTS = """
if not redis.call('SET', KEYS[3], 1, 'NX', 'EX', 300) then return 0 end
if ARGV[7] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], 'lost', 1) end
local now = tonumber(redis.call('TIME')[1])
local slot = math.floor(now / tonumber(ARGV[1]))
local slots = KEYS[2]
local counts = cjson.decode(ARGV[8])
local function add(field, count)
  counts[field] = (counts[field] or 0) + count
end
for _, entry in ipairs(cjson.decode(ARGV[9])) do
  local set = KEYS[6] .. entry[2] .. ':' .. math.floor(now / 3600)
  for i = 3, #entry do
    if redis.call('SCARD', set) >= 50000 or redis.call('SADD', set, entry[i]) == 1 then
      add(entry[1] .. ':' .. entry[2] .. ':failing', 1)
    end
  end
  redis.call('EXPIRE', set, 3600)
end
for _, entry in ipairs(cjson.decode(ARGV[10])) do
  local set = KEYS[7] .. entry[1]
  for i = 3, #entry do
    if redis.call('SCARD', set) < 4096 and redis.call('SADD', set, entry[i]) == 1 then
      add(entry[1] .. ':' .. entry[2] .. ':keys', 1)
    end
  end
  redis.call('EXPIRE', set, 7200)
end
local errors, requests = 0, 0
for field, count in pairs(counts) do
  local arm, name = string.match(field, '^%d+:(%a+):(.+)$')
  if string.sub(name, 1, 4) == 'own:' then
    redis.call('HINCRBYFLOAT', slots .. slot, field, string.format('%.17g', count))
  else
    redis.call('HINCRBY', slots .. slot, field, string.format('%.0f', count))
    redis.call('HINCRBY', KEYS[8] .. arm, name, string.format('%.0f', count))
  end
  if arm == 'candidate' and name == 'errors' then errors = errors + count end
  if arm == 'candidate' and name == 'requests' then requests = requests + count end
end
redis.call('EXPIRE', slots .. slot, 1800 + tonumber(ARGV[1]) * tonumber(ARGV[6]))
redis.call('EXPIRE', KEYS[8] .. 'candidate', ARGV[2])
redis.call('EXPIRE', KEYS[8] .. 'control', ARGV[2])
local all_requests = redis.call('HINCRBY', KEYS[1], 'requests', requests)
local all_errors = redis.call('HINCRBY', KEYS[1], 'errors', errors)
redis.call('EXPIRE', KEYS[1], ARGV[2])
local limit, first = tonumber(ARGV[4]), tonumber(ARGV[5])
if limit < 0 or errors == 0 then return 0 end
local judged = all_errors
if first >= 0 then
  local before = all_requests - requests
  if before >= first then return 0 end
  if all_requests > first then
    judged = all_errors - errors + errors * (first - before) / requests
  end
elseif tonumber(ARGV[6]) > 0 then
  judged = 0
  for back = 0, tonumber(ARGV[6]) do
    for _, field in ipairs(redis.call('HKEYS', slots .. (slot - back))) do
      if string.match(field, '^%d+:candidate:errors$') then
        judged = judged + tonumber(redis.call('HGET', slots .. (slot - back), field))
      end
    end
  end
end
if judged <= limit then return 0 end
if redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
redis.call('SET', KEYS[4], all_errors, 'EX', ARGV[2])
redis.call('PUBLISH', KEYS[5], 'trip ' .. ARGV[3])
return 1"""

# Read what the control loop has not judged yet. A slot that does not exist anymore is skipped: slots live for half an
# hour, or longer for a window.
#
# KEYS
#   1  the visit
#   2  prefix of its slots
#   3  the trip of the attempt
# ARGV
#   1  length of a slot, in seconds
#   2  the newest slot that was judged already
#
# Returns the present slot, the number of the tick that judged last, whether counts were lost, the trip, and then each
# slot's number and fields in turn.
READ_SLOTS = """
local now = math.floor(tonumber(redis.call('TIME')[1]) / tonumber(ARGV[1]))
local visit = redis.call('HMGET', KEYS[1], 'judged', 'lost')
local read = {now, visit[1], visit[2], redis.call('GET', KEYS[3])}
for slot = math.max(tonumber(ARGV[2]) + 1, now - 360), now do
  local fields = redis.call('HGETALL', KEYS[2] .. slot)
  if #fields > 0 then
    read[#read + 1] = slot
    read[#read + 1] = fields
  end
end
return read"""

# Note which tick has judged a visit. If the note of an earlier tick is gone, Redis lost the visit after the tick read
# it, and the next tick must learn that.
#
# KEYS
#   1  the visit
# ARGV
#   1  the number of the tick
#   2  1 if the note of an earlier tick must be there
#   3  lifetime of the visit, in seconds
NOTE_TICK = """
if ARGV[2] == '1' and redis.call('HEXISTS', KEYS[1], 'judged') == 0 then
  redis.call('HSET', KEYS[1], 'lost', 1)
else
  redis.call('HDEL', KEYS[1], 'lost')
end
redis.call('HSET', KEYS[1], 'judged', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])"""
