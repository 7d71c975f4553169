"""Lua that Redis executes as one step."""

# Add up the counts of one arm, and trip the rollout if its errors exceed their limit. Counting and tripping are one
# script, so that the errors of all processes are compared with the limit at the moment the last of them arrives.
#
# KEYS
#   1  the totals of this epoch and arm
#   2  prefix of the slots of this stage visit and arm; a slot holds the counts of ARGV[2] seconds
#   3  prefix of the totals of the rollout, before epoch and arm
#   4  the rollout's trip, as "epoch:errors"
#   5  the channel that announces it
#   6  this batch; a batch that is sent twice counts once
#   7  exists while the relative guard judges this visit: then the count of errors trips nothing
#   8  the totals of the rollout and arm over all epochs, which only grow
# ARGV
#   1  lifetime of the totals, in seconds
#   2  length of a slot, in seconds
#   3  epoch of the counts
#   4  first epoch of the stage visit
#   5  the limit of errors; -1: no limit
#   6  length of the window, in slots; 0: the whole visit is judged
#   7  arm
#   8, 9, ...  field and count in turn
#
# Returns 1 if this batch tripped the rollout, else 0.
ADD_COUNTS = """
if not redis.call('SET', KEYS[6], 1, 'NX', 'EX', 300) then return 0 end
local slot = math.floor(tonumber(redis.call('TIME')[1]) / tonumber(ARGV[2]))
local slots = KEYS[2]
for i = 8, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('HINCRBY', slots .. slot, ARGV[i], ARGV[i + 1])
  redis.call('HINCRBY', KEYS[8], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[8], ARGV[1])
redis.call('EXPIRE', slots .. slot, 3600)
local limit = tonumber(ARGV[5])
if limit < 0 or redis.call('EXISTS', KEYS[7]) == 1 then return 0 end
local errors, window = 0, tonumber(ARGV[6])
if window > 0 then
  for back = 0, window do
    errors = errors + tonumber(redis.call('HGET', slots .. (slot - back), 'errors') or 0)
  end
else
  for epoch = tonumber(ARGV[4]), tonumber(ARGV[3]) do
    errors = errors + tonumber(redis.call('HGET', KEYS[3] .. epoch .. ':' .. ARGV[7], 'errors') or 0)
  end
end
if errors <= limit then return 0 end
local trip = redis.call('GET', KEYS[4])
if trip and tonumber(string.match(trip, '^%d+')) >= tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[4], ARGV[3] .. ':' .. errors, 'EX', ARGV[1])
redis.call('PUBLISH', KEYS[5], KEYS[4])
return 1"""
