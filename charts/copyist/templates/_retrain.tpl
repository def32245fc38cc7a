{{/* Retraining: who leads a run, and the Jobs that its steps are. */}}

{{/* Where all of them see the same files: runs, what they made, corpora. The training image keeps its cache there. */}}
{{- define "copyist.retrainFolder" -}}/var/cache/copyist{{- end -}}

{{- define "copyist.retrainClaim" -}}
{{- .Values.retraining.storage.existingClaim | default (printf "%s-retrain" (include "copyist.fullname" .)) -}}
{{- end -}}

{{/* Environment of all of them, beside that of everything that runs Copyist. */}}
{{- define "copyist.retrainEnvironment" -}}
- name: COPYIST_MODEL_REPOSITORY
  value: /srv/copyist/model_repository
{{- end -}}

{{/* Takes root, config, jobs: whether the Jobs' manifests are mounted, too; and readOnly: whether the folder is only read. */}}
{{- define "copyist.retrainMounts" -}}
{{- include "copyist.volumeMounts" . }}
  - name: runs
    mountPath: {{ include "copyist.retrainFolder" .root }}
    {{- if .readOnly }}
    readOnly: true
    {{- end }}
  {{- if .jobs }}
  - name: jobs
    mountPath: /etc/copyist/retrain
    readOnly: true
  {{- end }}
{{- end -}}

{{- define "copyist.retrainVolumes" -}}
{{- include "copyist.volumes" . }}
  - name: runs
    persistentVolumeClaim:
      claimName: {{ include "copyist.retrainClaim" .root }}
  {{- if .jobs }}
  - name: jobs
    configMap:
      name: {{ include "copyist.fullname" .root }}-retrain-jobs
  {{- end }}
{{- end -}}

{{/* The pod of a step; `copyist retrain` gives it its command. Takes root, and kind: cpu or gpu. */}}
{{- define "copyist.retrainPod" -}}
{{- $values := .root.Values.retraining -}}
{{- $config := merge (deepCopy (index $values .kind)) (omit $values "cpu" "gpu" "resources") -}}
{{- $context := dict "root" .root "component" "retrain" "config" $config "settings" true "priority" "batch"
  "token" (eq .kind "cpu") "revisionLabel" "batch.kubernetes.io/job-name" "extra" (include "copyist.retrainEnvironment" .root) -}}
metadata:
  {{- include "copyist.podMetadata" (merge (dict "component" "retrain") $context) | nindent 2 }}
spec:
  restartPolicy: Never
  {{- include "copyist.podBasics" $context | nindent 2 }}
  {{- include "copyist.podPlacement" $context | nindent 2 }}
  containers:
    # The name by which Kubeflow's runtimes know the container that trains.
    - name: node
      image: {{ include "copyist.image" (dict "root" .root "image" $values.image) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      {{- include "copyist.environment" $context | nindent 6 }}
      {{- $resources := deepCopy $config.resources }}
      {{- if eq .kind "gpu" }}
      {{- $limits := merge (dict $values.gpu.resource (int $values.gpu.count)) (default dict $resources.limits) }}
      {{- $_ := set $resources "limits" $limits }}
      {{- end }}
      resources:
        {{- toYaml $resources | nindent 8 }}
      {{- include "copyist.containerSecurity" .root | nindent 6 }}
      {{- include "copyist.retrainMounts" $context | nindent 6 }}
  {{- include "copyist.retrainVolumes" $context | nindent 2 }}
{{- end -}}

{{/* What a step is run as. Takes root, and kind: cpu or gpu. */}}
{{- define "copyist.retrainJob" -}}
{{- $values := .root.Values.retraining -}}
{{- $metadata := include "copyist.metadata" (dict "root" .root "component" "retrain-step") -}}
{{- if and (eq .kind "gpu") (eq $values.trainer "kubeflow") -}}
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata:
  {{- $metadata | nindent 2 }}
spec:
  runtimeRef:
    apiGroup: trainer.kubeflow.org
    kind: TrainingRuntime
    name: {{ include "copyist.fullname" .root }}-retrain
{{- else -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- $metadata | nindent 2 }}
spec:
  backoffLimit: {{ $values.stepRetries }}
  activeDeadlineSeconds: {{ $values.stepDeadlineSeconds }}
  ttlSecondsAfterFinished: {{ $values.keepStepsSeconds }}
  # A pod that its node lost is replaced, and counts for nothing: the step goes on where it was.
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
            status: "True"
  template:
    {{- include "copyist.retrainPod" . | nindent 4 }}
{{- end -}}
{{- end -}}
