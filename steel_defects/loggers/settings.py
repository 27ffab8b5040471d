"""Settings of the loggers: `logger` of conf/train.yaml, and conf/logger."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from steel_defects.core.settings import Count, Flag, Positive, Settings, Text, Words, Wrong

LOGGERS = ("wandb", "tensorboard", "mlflow")
KEEP_FILES = ("wandb", "mlflow")  # those that can take a checkpoint
TAG_LENGTH = 64  # characters that W&B takes


class LoggerSettings(Settings):
    """Which loggers a run has, and how; what only one of them needs has a value where that one is chosen."""

    wandb: Flag
    tensorboard: Flag
    mlflow: Flag
    project: Text
    tags: Annotated[tuple[Annotated[str, Words("a text")], ...], Words("a list of texts, logger.tags=[one,two]")]
    log_model: Flag
    # W&B
    entity: Text | None = None
    mode: Literal["auto", "online", "offline"] | None = None
    num_images: Count = 4
    every_n_epochs: Positive = 5
    table_images: Count = 48
    # MLflow
    tracking_uri: Text | None = None

    @model_validator(mode="after")
    def _fit_together(self) -> LoggerSettings:
        messages = []
        for name, setting in (("wandb", "mode"), ("mlflow", "tracking_uri")):
            if getattr(self, name) and setting not in self.model_fields_set:
                messages.append(
                    f"logger.{name}=true: write logger={name}, which brings its settings, or logger=[...] for several"
                )
        if self.log_model and not any(getattr(self, name) for name in KEEP_FILES):
            messages.append("logger.log_model=true: needs a logger that keeps files: logger=wandb or logger=mlflow")
        if self.wandb:
            messages += [
                f"logger.tags: W&B takes {TAG_LENGTH} characters at most: {t}" for t in self.tags if len(t) > TAG_LENGTH
            ]
        messages += ["logger.tags: a list of texts, none of them empty"] if "" in self.tags else []
        if messages:
            raise Wrong("\n".join(messages))
        return self
