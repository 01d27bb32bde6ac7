//! What bounds or directs others: replicas, autoscalers, budgets, quotas, Services, CronJobs. Called by `remedies`.

use super::{Built, Planning, fixed};
use crate::diagnosis::remedy::Remedy;
use crate::remediation::change::{Change, ServiceField};

impl Planning<'_> {
    pub(super) fn bound(&self, remedy: &Remedy) -> Result<Built, String> {
        let plain = |action| Ok(Built::one(action));
        match remedy {
            Remedy::ScaleOut { workload, from, to, .. } | Remedy::ScaleUp { workload, from, to } => {
                if let Some(hpa) = self.autoscaler(workload) {
                    return Err(format!(
                        "HorizontalPodAutoscaler/{hpa} chooses the replicas of {workload}: change its bounds, not the workload"
                    ));
                }
                plain(self.action(workload, Change::Scale { from: *from, to: *to })?)
            }
            Remedy::HpaMaximum { hpa, from, to } => plain(self.action(
                hpa,
                Change::PatchHpa {
                    field: "maxReplicas".to_owned(),
                    from: *from,
                    to: *to,
                },
            )?),
            Remedy::ServiceSelector { service, key, from, to } => plain(self.action(
                service,
                Change::PatchService {
                    field: ServiceField::Selector(key.clone()),
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("the label {key} that {service} should select"))?,
                },
            )?),
            Remedy::ServicePort {
                service,
                index,
                from,
                to,
            } => plain(self.action(
                service,
                Change::PatchService {
                    field: ServiceField::TargetPort(i32::try_from(*index).map_err(|_| "too many ports".to_owned())?),
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("the port that {service} should send to"))?,
                },
            )?),
            Remedy::Quota {
                quota,
                resource,
                from,
                to,
            } => plain(self.action(
                quota,
                Change::PatchQuota {
                    resource: resource.clone(),
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("how much {resource} {quota} should allow"))?,
                },
            )?),
            Remedy::DisruptionBudget {
                budget,
                field,
                from,
                to,
            } => plain(self.action(
                budget,
                Change::PatchPdb {
                    field: field.clone(),
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("{field} of {budget}"))?,
                },
            )?),
            Remedy::ResumeCronJob { cron_job } => plain(self.action(cron_job, Change::ResumeCronJob)?),
            Remedy::SuspendCronJob { cron_job } => plain(self.action(cron_job, Change::SuspendCronJob)?),
            Remedy::HpaTarget { hpa, from, to } => plain(self.action(
                hpa,
                Change::RetargetHpa {
                    from: from.clone(),
                    to: fixed(to.as_ref(), &format!("the workload that {hpa} should scale"))?,
                },
            )?),
            _ => Err("no remedy is known".to_owned()),
        }
    }
}
