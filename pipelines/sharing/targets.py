"""What a bundle's configuration may name without being asked about: what this project's own bundles name.

Exact names, and not packages: torch.load, monai.bundle.run and numpy.load run code or read pickles, as do MONAI's
PersistentDataset and NumpyReader, and by way of attributes, as in monai.transforms.io.array.locate, a package leads to
anything at all.
"""

from __future__ import annotations

# by the package that has them; those of MONAI are named without it, as MONAI's bundles do
NAMES = {
    "monai": """
        Activationsd AsDiscreted CastToTyped Compose ConfusionMatrix CopyItemsd DataLoader Dataset DiceCELoss
        DiceFocalLoss DistributedSampler EnsureTyped FlexibleUNet Identityd IgniteMetricHandler Invertd
        LoadImaged LrScheduleHandler MeanDice MeanIoUHandler Orientationd
        PostProcessing RandCoarseDropoutd RandFlipd RandGridDistortiond RandRotated ScaleIntensityRanged
        SimpleInferer StatsHandler SupervisedEvaluator SupervisedTrainer TensorBoardStatsHandler ValidationHandler
    """,
    "transforms": """
        AsInFiled BackToImaged BoxesToMaskd CTReader CheckFrontald CheckSameGridd FitRadiographd FitSlicesd KeepInsided
        KeepPartsd LabelMapReader LeaveOutUnknownd MaskFeaturesd MaskReader MatchGridd OneSliced OutputLayout
        PredictDiced RadiographReader RandBlurd RandClutterd RandExposured RandNoised RandOpacitiesd RandWarpd
        RelativeToPeakd SaveCheckd SaveMaskd SaveOverlayd SaveVolumeOverlayd UnknownBehindHeartd before_temperature
    """,
    "torch.nn": """
        BCEWithLogitsLoss
    """,
    "pipelines": """
        Agreement AveragedWeights BatchOnDevice CachedDataset CachedSlices ClassReport EpochLog EvaluationReport
        LeakageAudit MLFlowLog MeanOfOrgans ReadAhead StressedDataset Submission TrainingProgress TrainingState
        draw_ct_phantoms draw_phantoms
    """,
    "torch.optim": """
        Adam AdamW
    """,
    "torch.optim.lr_scheduler": """
        ConstantLR CosineAnnealingLR OneCycleLR
    """,
    "networks": """
        BottomFeatures ClassicUNet FocalBCEDiceLoss ImageClassifier KnownLoss UNetWithHead VolumeInferer prepare
    """,
    "torch.nn.parallel": """
        DistributedDataParallel
    """,
}
TARGETS = frozenset(
    name if package == "monai" else f"{package}.{name}" for package, names in NAMES.items() for name in names.split()
)
