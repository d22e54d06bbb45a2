#!/usr/bin/env bash
# ChimeraMix+Grid against plain training on scikit-learn's handwritten digits, 5 images per class.
# Small networks and a short training, so that two CPU cores need less than three minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=runs/demo
common=(+dataset=demo/digits max_labels_per_class=5 machine.runs_dir=$runs)
generator=(generator.features=16 generator.discriminator.features=16)

for seed in 0 1; do
    python train_generator.py "${common[@]}" +experiment=chimeramix_grid "${generator[@]}" seed=$seed
    python train_classifier.py "${common[@]}" +experiment=chimeramix_grid "${generator[@]}" seed=$seed
    python train_classifier.py "${common[@]}" +experiment=baseline seed=$seed
done

chimeramix report $runs
echo "Pairs, reconstructions, masks and compositions:"
ls $runs/generator/*/pictures/*.png
