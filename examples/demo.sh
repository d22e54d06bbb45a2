#!/usr/bin/env bash
# ChimeraMix+Grid against plain training on scikit-learn's handwritten digits, 5 images per class, two seeds.
# Small networks and a short training, so that two CPU cores need less than three minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=runs/demo
common=(+dataset=demo/digits max_labels_per_class=5 machine.runs_dir=$runs)
# 210 steps are too few for the paper's learning rate of 0.0002: reconstructions stay coarse.
generator=(generator.features=16 generator.discriminator.features=16 generator.optimizer.lr=0.001)

run_seed() {
    python train_generator.py "${common[@]}" +experiment=chimeramix_grid "${generator[@]}" seed="$1"
    python train_classifier.py "${common[@]}" +experiment=chimeramix_grid "${generator[@]}" seed="$1"
    python train_classifier.py "${common[@]}" +experiment=baseline seed="$1"
}

# Line by line, also into a pipe, for which sed would keep its output back.
prefixed() {
    while IFS= read -r line; do printf '%s%s\n' "$1" "$line"; done
}

# The seeds run side by side: networks this small gain little from a second core.
cores=$(python -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
export OMP_NUM_THREADS=$((cores > 1 ? cores / 2 : 1))
export PYTHONUNBUFFERED=1
run_seed 0 2>&1 | prefixed "[seed 0] " &
first=$!
run_seed 1 2>&1 | prefixed "[seed 1] " &
wait $first
wait $!

echo
chimeramix report $runs
echo "Pairs, reconstructions, masks and compositions:"
ls $runs/generator/*/pictures/*.png
