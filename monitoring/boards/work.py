"""What does the work: Triton, and jobs."""

from __future__ import annotations

from typing import Final

from monitoring.grafana import Dashboard, Panel, Row

TRITON: Final = Dashboard(
    "copyist-triton",
    "Copyist: Triton and GPUs",
    (
        Row(
            "Load",
            (
                Panel(
                    "Inferences",
                    "reqps",
                    {
                        "{{model}} {{version}}": "sum by (model, version) (rate(nv_inference_request_success[5m]))"
                    },
                ),
                Panel(
                    "Waiting for an instance",
                    "short",
                    {"{{model}}": "sum by (model) (nv_inference_pending_request_count)"},
                    about="What Triton is scaled by.",
                ),
                Panel(
                    "Mean time in the queue",
                    "s",
                    {"{{model}}": "copyist:model_queue_seconds:mean5m"},
                    marks=(5.0,),
                ),
            ),
        ),
        Row(
            "Work",
            (
                Panel(
                    "Mean time inside the model",
                    "s",
                    {
                        "{{model}}": "sum by (model) (rate(nv_inference_compute_infer_duration_us[5m])) / "
                        "sum by (model) (rate(nv_inference_request_success[5m])) / 1e6"
                    },
                ),
                Panel(
                    "Requests in a batch",
                    "short",
                    {
                        "{{model}}": "sum by (model) (rate(nv_inference_count[5m])) / "
                        "sum by (model) (rate(nv_inference_exec_count[5m]))"
                    },
                ),
                Panel(
                    "Refused or failed",
                    "reqps",
                    {
                        "{{model}} {{reason}}": "sum by (model, reason) (rate(nv_inference_request_failure[5m]))"
                    },
                ),
            ),
        ),
        Row(
            "Machine",
            (
                Panel("GPU", "percentunit", {"{{gpu_uuid}}": "nv_gpu_utilization"}),
                Panel(
                    "GPU memory",
                    "bytes",
                    {
                        "{{gpu_uuid}} used": "nv_gpu_memory_used_bytes",
                        "{{gpu_uuid}} of": "nv_gpu_memory_total_bytes",
                    },
                ),
                Panel("CPU of Triton's node", "percentunit", {"{{instance}}": "nv_cpu_utilization"}),
            ),
        ),
    ),
)

JOBS: Final = Dashboard(
    "copyist-jobs",
    "Copyist: jobs",
    (
        Row(
            "Queue",
            (
                Panel(
                    "Unfinished jobs",
                    "short",
                    {"{{service}} {{state}}": 'copyist:jobs{state!~"completed|failed|cancelled"}'},
                ),
                Panel(
                    "The oldest has waited",
                    "s",
                    {"{{service}}": "copyist:jobs_oldest_queued_seconds"},
                    marks=(1800.0,),
                ),
                Panel("Under way", "short", {"{{service}}": "sum by (service) (copyist_jobs_under_way)"}),
            ),
        ),
        Row(
            "Ends",
            (
                Panel(
                    "Ended in the last hour",
                    "short",
                    {
                        "{{service}} {{state}}": "sum by (service, state) (increase(copyist_jobs_finished_total[1h]))"
                    },
                ),
                Panel(
                    "Stages, 95th percentile",
                    "s",
                    {
                        "{{service}} {{stage}}": "histogram_quantile(0.95, sum by (service, stage, le) "
                        "(rate(copyist_job_stage_seconds_bucket[15m])))"
                    },
                ),
                Panel(
                    "Taken over; webhooks",
                    "short",
                    {
                        "{{service}} taken over": "sum by (service) (increase(copyist_jobs_taken_over_total[1h]))",
                        "webhook {{result}}": "sum by (result) (increase(copyist_webhook_calls_total[1h]))",
                    },
                ),
            ),
        ),
    ),
)
