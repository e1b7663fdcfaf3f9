{{/* The pod of one role: {"root": $, "role": "all" | "intake" | "slots", "resources": …}. */}}
{{- define "tirelessd.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $shape := include "tirelessd.shape" $root -}}
{{- $store := $values.store.postgresql.secret -}}
metadata:
  labels:
    {{- include "tirelessd.selectorLabels" $root | nindent 4 }}
    app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
    app.kubernetes.io/component: {{ .role }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "tirelessd.config" $root | sha256sum }}
    kubectl.kubernetes.io/default-container: tirelessd
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tirelessd.serviceAccountName" $root }}
  automountServiceAccountToken: false
  # Their variables would begin with the daemon's own prefix, and it refuses what it does not know.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "tirelessd.grace" $root }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- include "tirelessd.placement" $values | nindent 2 }}
  topologySpreadConstraints:
    {{- if kindIs "invalid" $values.topologySpreadConstraints }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tirelessd.selectorLabels" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.role }}
    {{- end }}
    {{- else }}
    {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
    {{- end }}
  containers:
    - name: tirelessd
      image: {{ include "tirelessd.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - serve
        - --config=/etc/tirelessd/tirelessd.yaml
        {{- if ne .role "all" }}
        - --role={{ .role }}
        {{- end }}
      {{- include "tirelessd.env" $values | nindent 6 }}
      ports:
        {{- if ne .role "slots" }}
        - {name: http, containerPort: 8080, protocol: TCP}
        {{- end }}
        - {name: ops, containerPort: {{ $values.ops.port }}, protocol: TCP}
      # An hour for a start: it may find a large file, or wait for a migration or for the database,
      # which no restart would bring back. /readyz tells what it waits for.
      startupProbe:
        httpGet: {path: /startupz, port: ops}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 1800
      # It asks neither the store nor any upstream: a restart would mend neither.
      livenessProbe:
        httpGet: {path: /livez, port: ops}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: ops}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        {{- if eq $shape "embedded" }}
        - {name: data, mountPath: /var/lib/tirelessd}
        {{- end }}
        {{- include "tirelessd.volumeMounts" (dict "values" $values "store" $store) | nindent 8 }}
  volumes:
    {{- include "tirelessd.volumes" (dict "values" $values "store" $store "config" (include "tirelessd.fullname" $root)) | nindent 4 }}
{{- end -}}

{{/* Where pods may run, and with which credentials their image is fetched. */}}
{{- define "tirelessd.placement" -}}
{{- with .imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tirelessd.env" -}}
{{- if or .env .handlersPath }}
env:
  {{- with .handlersPath }}
  - {name: PYTHONPATH, value: {{ . | quote }}}
  {{- end }}
  {{- with .env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What pods read: {"values": $.Values, "store": the Secret with the URL, if any}. */}}
{{- define "tirelessd.volumeMounts" -}}
- {name: config, mountPath: /etc/tirelessd/tirelessd.yaml, subPath: tirelessd.yaml, readOnly: true}
{{- if .store.name }}
- {name: store, mountPath: /etc/tirelessd/store, readOnly: true}
{{- end }}
{{- range $number, $secret := .values.secrets }}
- {name: secret-{{ $number }}, mountPath: {{ printf "/etc/tirelessd/secrets/%s" $secret | quote }}, readOnly: true}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- with .values.volumeMounts }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{/* The same, and "config": the ConfigMap's name. */}}
{{- define "tirelessd.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
{{- with .store }}
{{- if .name }}
- name: store
  secret: {secretName: {{ .name | quote }}, defaultMode: 288}
{{- end }}
{{- end }}
{{- /* By number: a Secret's name may have dots and be long, a volume's may not. */}}
{{- range $number, $secret := .values.secrets }}
- name: secret-{{ $number }}
  secret: {secretName: {{ $secret | quote }}, defaultMode: 288}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with .values.volumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
