# Whether every model has a version that is ready. Triton itself only says so (by /v2/health/ready) of all
# versions together: one that cannot be loaded beside a good one, or is just being loaded, would count as well.
for model in $MODELS; do
  exec 3<>/dev/tcp/127.0.0.1/"${PORT:-8000}"
  printf 'GET /v2/models/%s/ready HTTP/1.0\r\n\r\n' "$model" >&3
  read -r _ status _ <&3
  exec 3>&-
  if [ "$status" != 200 ]; then
    echo "no version of $model is ready"
    exit 1
  fi
done
