# docker build -t clinfed .     The image of the compose files that `clinfed deploy init` writes.
FROM python:3.11-slim
# Nothing asks the hub but `clinfed bases fetch`.
ENV HF_HUB_OFFLINE=1
COPY . /clinfed
RUN pip install --no-cache-dir -c /clinfed/constraints.txt '/clinfed[train]'
