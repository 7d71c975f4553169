"""The forms of policies. A setting that has no effect in its stage, or for its guard, is a dash."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.validators import validate_slug
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console.fields import ChoiceWidget, NumberField, TextField, WholeNumberField
from rollout.choices import Consequence, Direction, Guard, Stage
from rollout.decisions.measurable import idle_guard_fields, idle_stage_fields
from rollout.decisions.ranges import MIN_SAMPLES, TOLERANCE
from rollout.models import StagePolicy


class Dash(forms.Widget):
    """A dash in place of a field that has no effect."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        return format_html('<span class="sw-help sw-idle" title="{}">–</span>', "has no effect here")


def idle_fields(policy: StagePolicy) -> set[str]:
    """Return the names of the settings that have no effect in the stage of this policy."""
    return idle_stage_fields(Stage(policy.stage), {Guard(guard.guard) for guard in policy.guards.all()})


def _show_dashes(form: forms.ModelForm, names: Iterable[str]) -> None:  # type: ignore[type-arg]
    for name in names:
        if name in form.fields:
            form.fields[name].disabled = True  # what is sent for it is ignored
            form.fields[name].widget = Dash()


class StagePolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of a stage's policy, which sends back the version with which the page was opened."""

    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            _show_dashes(self, idle_fields(self.instance))


class GuardPolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of a guard's policy."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            _show_dashes(self, idle_guard_fields(Stage(self.instance.policy.stage), Guard(self.instance.guard)))


class OwnGuardForm(forms.Form):
    """The form of a new guard on one of the application's own metrics."""

    metric = TextField(
        max_length=30,
        validators=[validate_slug],
        help_text="The name of the metric, as Answer(metrics=...) or observe(metrics=...) gives it.",
    )
    guard = forms.ChoiceField(
        label="Judge by",
        widget=ChoiceWidget,
        choices=[
            (Guard.OWN_SHARE.value, "its share: of True among True and False"),
            (Guard.OWN_MEAN.value, "its mean: of a number"),
        ],
        help_text="Give bools for a share and numbers for a mean.",
    )
    worse = forms.ChoiceField(
        label="Worse if",
        widget=ChoiceWidget,
        choices=[(Direction.HIGHER.value, "higher"), (Direction.LOWER.value, "lower")],
        help_text="The direction in which the metric becomes worse.",
    )
    tolerance = NumberField(
        initial=1.0,
        min_value=TOLERANCE.lowest,
        max_value=TOLERANCE.highest,
        help_text="How many times as bad as control the candidate may be. 1: no worse; 1.1: 10 % worse.",
    )
    min_samples = WholeNumberField(
        label="Minimum sample",
        initial=50,
        min_value=int(MIN_SAMPLES.lowest),
        max_value=int(MIN_SAMPLES.highest),
        help_text="The number of values of each arm below which the guard is inconclusive.",
    )
    leads = forms.ChoiceField(
        label="A violation leads",
        widget=ChoiceWidget,
        choices=Consequence.choices,
        help_text="Where the rollout goes if the guard is violated.",
    )
