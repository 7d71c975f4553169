"""The statements written by hand, and why the ORM was not enough."""

# All that a gate has to know, in one round trip a second: where each rollout stands, since which epoch it is in its
# stage, and the hard limit of errors there.
VIEWS = """
SELECT rollout.name, rollout.stage, rollout.percent, rollout.epoch,
       COALESCE((SELECT max(entered.epoch) FROM rollout_transition entered
                  WHERE entered.rollout_id = rollout.id AND entered.from_stage <> entered.to_stage), 0),
       errors.at_most, policy.window_minutes
  FROM rollout_rollout rollout
  LEFT JOIN rollout_stagepolicy policy ON policy.rollout_id = rollout.id AND policy.stage = rollout.stage
  LEFT JOIN rollout_guardpolicy errors ON errors.policy_id = policy.id AND errors.guard = 'errors'
                                      AND errors.is_on AND errors.leads <> 'warn'"""
