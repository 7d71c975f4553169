"""The statements written by hand, each with the reason why the ORM was not enough."""

# Read all that a gate must know in one round trip, because every process does so each second: the stage of each
# rollout, the hard limit of errors there, and whether serving is switched on.
ROLLOUT_STATES = """
SELECT rollout.name, rollout.stage, rollout.percent, rollout.epoch, rollout.stage_epoch,
       rollout.settled_epoch,
       errors.at_most, policy.window_minutes,
       EXISTS (SELECT FROM rollout_activation WHERE part = 'serving' AND is_on)
  FROM rollout_rollout rollout
  LEFT JOIN rollout_stagepolicy policy ON policy.rollout_id = rollout.id AND policy.stage = rollout.stage
  LEFT JOIN rollout_guardpolicy errors ON errors.policy_id = policy.id AND errors.guard = 'errors'
                                      AND errors.is_on AND errors.leads <> 'warn'"""

# End a slow read of the states after 2 s: the gate is served better by the last ones. The ORM has no such setting.
LIMIT_STATEMENT_TIME = "SET LOCAL statement_timeout = '2s'"
