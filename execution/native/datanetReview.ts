/**
 * 0x53 DatanetReview: the curator accepts an upload with a quality or rejects it; curator or owner retires an upload or the datanet; the uploader
 * withdraws an upload that nobody reviewed.
 * A retire is also appended to `retires`, by which a credit sees that a model's data was taken back.
 * Spec: docs/spec/transactions.md#0x53-datanetreview
 */
import { parseAbiItem, parseAbiParameters } from 'viem'
import { BPS, DOOR, TREASURY, TX_TYPE } from '../../genesis/params.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { addBalance, datanets, retires, reviews, uploads } from '../ledger/tables.ts'
import { DATANET_STATUS } from './datanetCreate.ts'
import { UPLOAD_STATUS } from './datanetUpload.ts'
import { type Applied, defineNative, doorLog, failure, invalid, type NativeContext } from './nativeType.ts'

export const VERDICT = { accept: 1, reject: 2, retire: 3, withdraw: 4 } as const

/** Upload index that stands for the datanet itself. */
export const WHOLE_DATANET = 0xffffffff

export const datanetRetiredEvent = parseAbiItem('event DatanetRetired(uint32 indexed datanetId, uint8 reason)')
export const reviewedEvent = parseAbiItem(
  'event Reviewed(uint32 indexed datanetId, uint32 indexed uploadIndex, uint8 verdict, uint16 qualityBps, uint8 reason)',
)

export const datanetReview = defineNative({
  byte: TX_TYPE.datanetReview,
  name: 'DatanetReview',
  door: DOOR.datanets,
  functionName: 'review',
  payable: false,
  parameters: parseAbiParameters('uint32 datanetId, uint32 uploadIndex, uint8 verdict, uint16 qualityBps, uint8 reason'),

  records: () => 5,

  check({ uploadIndex, verdict, qualityBps, reason }) {
    const isAccept = verdict === VERDICT.accept
    if (verdict < VERDICT.accept || verdict > VERDICT.withdraw) return invalid('unknownVerdict', { verdict })
    if (isAccept ? qualityBps === 0 || qualityBps > BPS : qualityBps !== 0) return invalid('badQuality', { qualityBps })
    const needsReason = verdict === VERDICT.reject || verdict === VERDICT.retire
    if (needsReason === (reason === 0)) return invalid('badReason', { reason })
    if (uploadIndex === WHOLE_DATANET && verdict !== VERDICT.retire) return invalid('badUpload')
    return undefined
  },

  apply(ledger, context, fields) {
    const { datanetId, uploadIndex, verdict } = fields
    const { sender } = context
    const datanet = datanets.get(ledger, { datanetId })
    if (!datanet) return failure('unknownDatanet', { datanetId })
    if (verdict === VERDICT.withdraw) return withdraw(ledger, context, { datanet, fields })
    const isRetire = verdict === VERDICT.retire
    if (sender !== datanet.curator && !(isRetire && sender === datanet.owner)) return failure('notCurator', { datanetId })
    // Pending uploads of a retired datanet may still be judged, for else their bonds would be stuck.
    if (isRetire && datanet.status === DATANET_STATUS.retired) return failure('datanetRetired', { datanetId })
    if (uploadIndex === WHOLE_DATANET) {
      putDatanet(ledger, datanetId, withRetire(ledger, { datanetId, uploadIndex }, { ...datanet, status: DATANET_STATUS.retired }))
      return reviewed(ledger, context, fields)
    }
    const upload = uploads.get(ledger, { datanetId, uploadIndex })
    if (!upload) return failure('unknownUpload', { datanetId, uploadIndex })
    const { status } = upload
    if (status !== (isRetire ? UPLOAD_STATUS.accepted : UPLOAD_STATUS.pending))
      return failure(isRetire ? 'notAccepted' : 'notPending', { status })
    judge(ledger, { datanet, upload }, fields)
    return reviewed(ledger, context, fields)
  },
})

type Datanet = NonNullable<ReturnType<typeof datanets.get>>
type Upload = NonNullable<ReturnType<typeof uploads.get>>
type Review = {
  readonly datanetId: number
  readonly uploadIndex: number
  readonly verdict: number
  readonly qualityBps: number
  readonly reason: number
}

/** Moves an upload to its new status, its bond to whom it is due, and its records into or out of the datanet's count. */
function judge(
  ledger: Ledger,
  { datanet, upload }: { datanet: Datanet; upload: Upload },
  { datanetId, uploadIndex, verdict, qualityBps }: Review,
): void {
  const id = { datanetId, uploadIndex }
  if (verdict === VERDICT.accept) {
    uploads.put(ledger, id, { ...upload, status: UPLOAD_STATUS.accepted, qualityBps })
    putDatanet(ledger, datanetId, { ...datanet, accepted: datanet.accepted + 1, records: datanet.records + BigInt(upload.recordCount) })
    addBalance(ledger, upload.uploader, upload.bond)
  } else if (verdict === VERDICT.reject) {
    uploads.put(ledger, id, { ...upload, status: UPLOAD_STATUS.rejected })
    addBalance(ledger, TREASURY, upload.bond)
  } else {
    uploads.put(ledger, id, { ...upload, status: UPLOAD_STATUS.retired })
    const rest = { ...datanet, accepted: datanet.accepted - 1, records: datanet.records - BigInt(upload.recordCount) }
    putDatanet(ledger, datanetId, withRetire(ledger, id, rest))
  }
}

/** Ends the wait for a review that did not come: the bond goes back, and the upload counts for nothing. */
function withdraw(ledger: Ledger, context: NativeContext, { datanet, fields }: { datanet: Datanet; fields: Review }): Applied {
  const { params, sender, timeSec } = context
  const { datanetId, uploadIndex } = fields
  const upload = uploads.get(ledger, { datanetId, uploadIndex })
  if (!upload) return failure('unknownUpload', { datanetId, uploadIndex })
  if (sender !== upload.uploader) return failure('notUploader', { datanetId, uploadIndex })
  if (upload.status !== UPLOAD_STATUS.pending) return failure('notPending', { status: upload.status })
  const unlockAt = upload.atSec + BigInt(params.reviewDelaySec)
  const isOver = timeSec >= unlockAt || datanet.status === DATANET_STATUS.retired
  if (!isOver) return failure('stillLocked', { unlockAt, now: timeSec })
  uploads.put(ledger, { datanetId, uploadIndex }, { ...upload, status: UPLOAD_STATUS.withdrawn })
  addBalance(ledger, upload.uploader, upload.bond)
  return reviewed(ledger, context, fields)
}

/** Appends to the datanet's retires, and returns it with their new count. */
function withRetire(ledger: Ledger, { datanetId, uploadIndex }: { datanetId: number; uploadIndex: number }, datanet: Datanet): Datanet {
  retires.put(ledger, { datanetId, n: datanet.retires }, { uploadIndex })
  return { ...datanet, retires: datanet.retires + 1 }
}

function putDatanet(ledger: Ledger, datanetId: number, datanet: Datanet): void {
  datanets.put(ledger, { datanetId }, datanet)
}

function reviewed(
  ledger: Ledger,
  { sender, timeSec }: NativeContext,
  { datanetId, uploadIndex, verdict, qualityBps, reason }: Review,
): Applied {
  reviews.put(ledger, { datanetId, uploadIndex }, { reviewer: sender, verdict, qualityBps, reason, atSec: timeSec })
  const log =
    uploadIndex === WHOLE_DATANET
      ? doorLog(DOOR.datanets, datanetRetiredEvent, { datanetId, reason })
      : doorLog(DOOR.datanets, reviewedEvent, { datanetId, uploadIndex, verdict, qualityBps, reason })
  return { ok: true, logs: [log] }
}
