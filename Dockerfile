# docker build -t clinfed .     The image of the compose files that `clinfed deploy init` writes.
FROM python:3.11-slim
COPY . /clinfed
RUN pip install --no-cache-dir -c /clinfed/constraints.txt '/clinfed[train]'
