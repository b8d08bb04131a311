#!/bin/sh
# Builds the atheris targets for ClusterFuzzLite and OSS-Fuzz: for each target a program, a seed
# corpus and, if there is one, a dictionary, in $OUT.
#
# In their images `compile_python_fuzzer` packs a target with its interpreter. Elsewhere this
# writes a launcher instead, so that the rest can be tried: OUT=built ci/fuzz/build.sh
set -eu

SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
project=$SRC
if [ -d "$SRC/tdxfuzz/tdxfuzz" ]; then project=$SRC/tdxfuzz; fi
: "${OUT:?the folder for what is built}"
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
PYTHON=${PYTHON:-python3}

cd "$project"
if command -v compile_python_fuzzer >/dev/null; then
    "$PYTHON" -m pip install .
fi
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
"$PYTHON" -c 'from tdxfuzz.fuzzers.seeds import main; main()' "$seeds" --corpus corpus
for target in host_ops hostile status_words reproducers; do
    file=$project/tdxfuzz/fuzzers/$target.py
    if command -v compile_python_fuzzer >/dev/null; then
        compile_python_fuzzer "$file"
    else
        printf '#!/bin/sh\nexec env PYTHONPATH=%s %s %s "$@"\n' \
            "$project" "$(command -v "$PYTHON")" "$file" >"$OUT/$target"
        chmod +x "$OUT/$target"
    fi
    (cd "$seeds/$target" && "$PYTHON" -m zipfile -c "$OUT/${target}_seed_corpus.zip" ./*)
    if [ -f "$seeds/$target.dict" ]; then cp "$seeds/$target.dict" "$OUT/"; fi
done
