#!/usr/bin/env bash
# From nothing to an ablation: makes the demo data, trains the plain network and the same with non-local blocks, and
# tests both at clip and video level.
#
#   bash tools/demo.sh                   one seed
#   bash tools/demo.sh --seeds 0,1,2     three
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup.sh
blocks='{res3: [0, 1], res4: [1]}'

.venv/bin/nlvideo demo-data data/visitors
.venv/bin/nlvideo ablate -c configs/demo.yaml --set "model.net.after.at=none,$blocks" -o runs/demo "$@"

cat <<TEXT

What you saw: four times somebody looks over a wall, and the network has to say how many different visitors that
were (data/visitors/contact_sheet.png). The plain C2D network sees every visit, but cannot compare one with another: it
does little better than chance, 25 %. The same network with three non-local blocks compares all moments with all others.
Clip level is one clip a video, which may step over a short visit; video level averages ten.

  runs/demo/results.md, results.csv, results.tex     the table above
  runs/demo/accuracy.png, cost.png, curves.png       and as pictures
  runs/demo/*/curves.png, predictions.parquet        each run's learning curves, and its scores for every video

What to try next:
  another pairwise function    .venv/bin/nlvideo fit -c configs/demo.yaml --name dot --model.net.after.block.pairwise dot_product
  one block in place of three  .venv/bin/nlvideo fit -c configs/demo.yaml --name one --model.net.after.at '{res4: [1]}'
  three tables of the paper    .venv/bin/nlvideo ablate -c configs/demo.yaml --sweep configs/ablations/demo --seeds 0,1,2 --jobs 2 -o runs/demo_tables
  an ablation of your own      .venv/bin/nlvideo ablate -c configs/demo.yaml --set model.net.arch=c2d,i3d -o runs/arch
  your own videos              examples/your_videos.md
TEXT
