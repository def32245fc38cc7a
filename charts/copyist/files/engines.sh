# Keeps TensorRT's engines for all pods of Triton in $SHARED. Triton itself writes to $LOCAL alone: where two pods build
# the same engine at once, in one folder, each would find the other's half-written file.
trap 'exit 0' TERM INT

for file in "$SHARED"/*; do
  if [ -f "$file" ] && [ ! -e "$LOCAL/${file##*/}" ]; then cp "$file" "$LOCAL"; fi
done
touch "$LOCAL/.fetched"

while true; do
  sleep "${PAUSE_S:-60}" &
  wait $!
  # What has not changed for a minute is written to its end. It takes its name in one step.
  find "$LOCAL" -maxdepth 1 -type f ! -name '.*' -mmin +1 | while read -r file; do
    name=${file##*/}
    if [ ! -e "$SHARED/$name" ]; then
      { cp "$file" "$SHARED/.$name.$POD" && mv "$SHARED/.$name.$POD" "$SHARED/$name"; } ||
        echo "the engine $name could not be shared; other pods build their own" >&2
    fi
  done
  # What pods left that were ended while they copied.
  find "$SHARED" -maxdepth 1 -type f -name '.*' -mmin +1440 -delete
done
