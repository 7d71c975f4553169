"""Form fields with the theme's widgets."""

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)


class FileField(forms.FileField):
    widget = UnfoldAdminFileFieldWidget


class RowField(forms.ModelChoiceField):  # type: ignore[type-arg]
    widget = UnfoldAdminSelectWidget


class ChoiceWidget(UnfoldAdminSelectWidget):
    """A select box for a text field whose choices are known only when its form is made."""


class JsonField(forms.JSONField):
    widget = UnfoldAdminTextareaWidget


class TextField(forms.CharField):
    widget = UnfoldAdminTextInputWidget


class NumberField(forms.FloatField):
    widget = UnfoldAdminDecimalFieldWidget


class WholeNumberField(forms.IntegerField):
    widget = UnfoldAdminIntegerFieldWidget


class SwitchField(forms.BooleanField):
    widget = UnfoldBooleanSwitchWidget
