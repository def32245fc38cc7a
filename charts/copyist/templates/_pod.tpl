{{/* What the pods of all components have alike. Takes root, component, config. */}}
{{- define "copyist.podBasics" -}}
serviceAccountName: {{ include "copyist.serviceAccountName" . }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
dnsConfig:
  options:
    # Names are whole: with Kubernetes' 5, each is first looked for in three domains of the cluster.
    - name: ndots
      value: "2"
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user | default 10001 }}
  runAsGroup: {{ .user | default 10001 }}
  fsGroup: {{ .user | default 10001 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with concat .root.Values.global.imagePullSecrets .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where pods go. Takes root, component, config. */}}
{{- define "copyist.podPlacement" -}}
{{- $priority := .config.priorityClassName -}}
{{- if and (not $priority) .root.Values.priorityClasses.create .priority -}}
{{- $priority = printf "%s-%s-%s" (include "copyist.fullname" .root) .root.Release.Namespace .priority -}}
{{- end -}}
{{- with $priority }}
priorityClassName: {{ . }}
{{- end }}
{{- with .config.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := .config.tolerations -}}
{{- if .gpu }}{{ $tolerations = concat $tolerations .gpu.tolerations }}{{ end -}}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := deepCopy .config.affinity -}}
{{- if and .gpu (not $affinity.nodeAffinity) .gpu.nodeAffinity }}{{ $_ := set $affinity "nodeAffinity" .gpu.nodeAffinity }}{{ end -}}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .config.topologySpreadConstraints }}
  {{- toYaml .config.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "copyist.selector" $ | nindent 8 }}
    # Spread each version of a rollout by itself, or the old pods decide where the new ones lie.
    matchLabelKeys:
      - {{ $.revisionLabel | default "pod-template-hash" }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What PodSecurity `restricted` asks of a container, and a root file system that nobody writes to. */}}
{{- define "copyist.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Labels and annotations of a pod; what it reads at its start is in them as checksums. Takes root, component, config. */}}
{{- define "copyist.podMetadata" -}}
labels:
  {{- include "copyist.podLabels" . | nindent 2 }}
  {{- with .config.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- if .settings }}
  checksum/settings: {{ include "copyist.settings" .root | sha256sum }}
  {{- end }}
  {{- with .config.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Environment of everything that runs Copyist's own image. Takes root, component, config. */}}
{{- define "copyist.environment" -}}
{{- $values := .root.Values -}}
env:
  - name: HOME
    value: /tmp
  - name: BENTOML_HOME
    value: /tmp/bentoml
  - name: BENTOML_DO_NOT_TRACK
    value: "true"
  # A stage is one thread's work, and requests fill the cores; a BLAS with threads of its own makes all of it slower.
  - name: OMP_NUM_THREADS
    value: "1"
  - name: OPENBLAS_NUM_THREADS
    value: "1"
  {{- include "copyist.databaseEnvironment" .root | nindent 2 }}
  {{- with $values.webhooks.existingSecret }}
  {{- if .name }}
  - name: COPYIST_WEBHOOK_SECRET
    valueFrom:
      secretKeyRef:
        name: {{ .name }}
        key: {{ .key }}
  {{- end }}
  {{- end }}
  {{- include "copyist.filesEnvironment" .root | nindent 2 }}
  {{- with .extra }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with concat $values.extraEnv .config.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
envFrom:
  - configMapRef:
      name: {{ include "copyist.fullname" .root }}-settings
  {{- with concat $values.extraEnvFrom .config.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "copyist.databaseEnvironment" -}}
- name: COPYIST_DATABASE_URL
  {{- if .Values.database.existingSecret.name }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret.name }}
      key: {{ .Values.database.existingSecret.key }}
  {{- else }}
  value: {{ .Values.database.url | quote }}
  {{- end }}
{{- end -}}

{{/* Without a secret, the pod's own identity (IRSA or Pod Identity) opens the bucket. */}}
{{- define "copyist.filesEnvironment" -}}
- name: COPYIST_FILES_URL
  value: {{ .Values.files.url | quote }}
{{- with .Values.files.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.files.endpointUrl }}
- name: AWS_ENDPOINT_URL_S3
  value: {{ . | quote }}
{{- end }}
{{- with .Values.files.existingSecret }}
{{- if .name }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .accessKeyIdKey }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .secretAccessKeyKey }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Places to write to, where the root file system is read-only. Takes root, config. */}}
{{- define "copyist.volumeMounts" -}}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if .root.Values.dataVolume.enabled }}
  - name: data
    mountPath: {{ .root.Values.dataVolume.mountPath }}
  {{- end }}
  {{- with concat .root.Values.extraVolumeMounts .config.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "copyist.volumes" -}}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ .config.tmpSize }}
  {{- if .root.Values.dataVolume.enabled }}
  - name: data
    persistentVolumeClaim:
      claimName: {{ .root.Values.dataVolume.existingClaim | default (printf "%s-data" (include "copyist.fullname" .root)) }}
  {{- end }}
  {{- with concat .root.Values.extraVolumes .config.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Seconds between the order to stop and the end of a pod: the wait before, the time to finish, and some to spare.
     Takes root, config. */}}
{{- define "copyist.terminationSeconds" -}}
{{- add .config.preStopSeconds .root.Values.settings.drainS 20 -}}
{{- end -}}
