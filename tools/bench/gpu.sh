#!/usr/bin/env bash
# Everything that docs/gpu.md shows, in about ten minutes on one GPU: networks in training and in a 10 x 3 test,
# non-local operations and blocks, and `nlvideo fit` with its loader, alone and under DDP. A row that fails, as for want
# of memory, says so, and the others go on.
#
#   bash tools/bench/gpu.sh                        into results/gpu_*.csv
#   bash tools/bench/gpu.sh --peak-tflops 989      of a device that is not known: dense, bfloat16
#
# From the environment: DEVICE (cuda), OUT (results), PYTHON, BATCH (16 training clips), and TINY=1, the sizes of a test.
cd "$(dirname "$0")/../.." || exit 1
device=${DEVICE:-cuda} out=${OUT:-results} python=${PYTHON:-python} batch=${BATCH:-16}
failed=0

bench() {  # script and options
    echo "== $*"
    "$python" "tools/bench/$1" "${@:2}" || { echo "gpu.sh: $1 failed" >&2; failed=1; }
}

rm -f "$out"/gpu_{network,nonlocal,fit}.csv
fit=(-c configs/kinetics400.yaml -c configs/i3d_r50_8x8.yaml --model.net.after.at nl5 --data.batch_size "$batch")
train=(--size 224 --batch "$batch") test=(--size 256 --batch 30) short=(--frames 8) long=(--frames 32 --temporal-stride 4)
networks=("c2d none" "i3d none" "i3d nl5 embedded_gaussian" "i3d nl5 dot_product")
sizes=() runs=()
if [ -n "${TINY:-}" ]; then
    train=(--size 32 --batch 2 --repeats 1) test=(--size 32 --batch 1 --repeats 1) short=(--frames 2) long=()
    networks=("i3d nl1 dot_product") sizes=(--tiny --repeats 1) runs=(--steps 4 --log-every 2 --made-videos 0)
    read -ra fit <<< "$FIT"
fi

for network in "${networks[@]}"; do
    read -r arch at pairwise <<< "$network"
    for clip in short long; do
        declare -n frames=$clip
        [ ${#frames[@]} -gt 0 ] || continue
        for mode in train test; do
            declare -n settings=$mode
            compile=()
            [ -z "${TINY:-}" ] && [ "$network $clip" = "i3d nl5 embedded_gaussian short" ] && compile=(--compile)
            bench network.py --mode $mode --arch "$arch" --at "$at" --pairwise "${pairwise:-embedded_gaussian}" \
                "${frames[@]}" "${settings[@]}" "${compile[@]}" --device "$device" --output "$out/gpu_network.csv" "$@"
        done
    done
done
for dtype in float32 bfloat16; do
    [ -n "${TINY:-}" ] && [ $dtype = bfloat16 ] && continue
    bench nonlocal.py --device "$device" --dtype $dtype "${sizes[@]}" --output "$out/gpu_nonlocal.csv"
done
bench fit.py "${runs[@]}" --output "$out/gpu_fit.csv" -- "${fit[@]}"
"$python" tools/bench/table.py "$out"/gpu_{network,nonlocal,fit}.csv
exit $failed
