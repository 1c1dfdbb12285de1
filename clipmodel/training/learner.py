"""What is learnt: the image tower's projections, and a matrix for the sentences' vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.config import EfficientNetConfig
from clipmodel.towers.efficientnet import EfficientNet

SMALLEST = 1e-4  # added to a deviation


class Learner(nn.Module):
    """Averages and the teacher's vectors -> unit vectors of the space that they share."""

    mean: Tensor  # (F,)
    deviation: Tensor

    def __init__(
        self,
        config: EfficientNetConfig,
        classifier: nn.Linear,
        classes: Tensor,
        features: Tensor,
        dropout: float,
    ) -> None:
        """classes: (C, D) the teacher's vectors of the classifier's classes.

        features: (N, F) averages, whose mean and deviation are taken.
        """
        super().__init__()
        dim = classes.shape[1]
        tower = EfficientNet(config, dim)
        self.projection, self.classes = tower.projection, tower.classes
        self.classes.score.load_state_dict(classifier.state_dict())
        self.classes.score.requires_grad_(False)
        self.classes.embedding.data.copy_(classes)
        self.temper = nn.Parameter(torch.ones(()))  # the classifier's inverse temperature
        self.words = nn.Parameter(torch.eye(dim))
        self.dropout = dropout
        self.register_buffer("mean", features.mean(dim=0))
        self.register_buffer("deviation", features.std(dim=0) + SMALLEST)

    def pictures(self, features: Tensor) -> Tensor:
        """Map (B, F) to (B, D), unit norm."""
        x = (features - self.mean) / self.deviation
        for layer in self.projection:
            if isinstance(layer, nn.Linear):
                x = F.dropout(x, self.dropout, self.training)
            x = layer(x)
        scores = self.classes.score(features[:, -self.classes.score.in_features :])
        likely = F.softmax(scores * self.temper, dim=1)
        return F.normalize(x + likely @ self.classes.embedding, dim=1)

    def texts(self, vectors: Tensor) -> Tensor:
        """Map the teacher's (B, D) to (B, D), unit norm."""
        return F.normalize(vectors.float() @ self.words, dim=1)

    def likely(self, features: Tensor) -> Tensor:
        """Return the classifier's own probabilities (B, C)."""
        scores = self.classes.score(features[:, -self.classes.score.in_features :])
        return F.softmax(scores, dim=1)
