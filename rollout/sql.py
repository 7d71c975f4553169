"""The statements written by hand, and why the ORM was not enough."""

# All that a gate has to know, in one round trip a second: where each rollout stands, the hard limit of errors there,
# and whether serving is switched on.
VIEWS = """
SELECT rollout.name, rollout.stage, rollout.percent, rollout.epoch, rollout.stage_epoch,
       rollout.settled_epoch,
       errors.at_most, policy.window_minutes,
       EXISTS (SELECT FROM rollout_activation WHERE part = 'serving' AND is_on)
  FROM rollout_rollout rollout
  LEFT JOIN rollout_stagepolicy policy ON policy.rollout_id = rollout.id AND policy.stage = rollout.stage
  LEFT JOIN rollout_guardpolicy errors ON errors.policy_id = policy.id AND errors.guard = 'errors'
                                      AND errors.is_on AND errors.leads <> 'warn'"""

# A gate that waits longer for its view is better served by the last one.
SOON = "SET LOCAL statement_timeout = '2s'"
