"""What a training needs beside MONAI's trainer: data sets on disk, state, log."""
