#!/usr/bin/env bash
# Check the types of the JavaScript with TypeScript: the page of the service, and the static site with the modules of
# export/targets/browser. Works in a temporary folder that contains the files as they are served, with constants.js.
#
# Needs Node.js with npm, access to the npm registry, and a Python with digits-edge (`PYTHON=.venv/bin/python`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}

command -v npm >/dev/null || {
  echo "npm is not installed: install Node.js 20 or later (https://nodejs.org, or apt-get install npm)" >&2
  exit 1
}
"$python" -c 'import digits_edge.export' 2>/dev/null || {
  echo "$python cannot import digits_edge: install it with pip install -e ., or set PYTHON" >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/service/page" "$work/site/page" "$work/site/onnxruntime"
cp runtime/service/page/*.js "$work/service/page"
cp runtime/service/page/*.js "$work/site/page"
rm "$work/site/page/docs.js"
cp export/targets/browser/*.js "$work/site/page"  # its engine.js replaces the one of the service
mv "$work/site/page/service-worker.js" "$work/site"
cp export/targets/browser/types/ort.wasm.min.d.mts "$work/site/onnxruntime"
cp export/targets/browser/types/service-worker.d.ts "$work/site"
"$python" >"$work/site/page/constants.js" <<'PYTHON'
from digits_edge.export.targets.preprocessing_constants import constants_js

print(constants_js(), end="")
PYTHON

npm ci --silent --no-audit --no-fund
cp package.json tsconfig.json tsconfig.worker.json "$work"
ln -s "$PWD/node_modules" "$work/node_modules"
npm --prefix "$work" --silent run check
echo "The types of the JavaScript are correct."
