/**
 * 0x52 DatanetUpload: offers records to a datanet, committed by their root and split among those who made them.
 * A record leaf under `contentRoot` binds its contributor, so somebody else's root earns its copier nothing; nothing is earned before a review.
 * Spec: docs/spec/transactions.md#0x52-datanetupload
 */
import { type Hex, parseAbiItem, parseAbiParameters, size, zeroAddress, zeroHash } from 'viem'
import { BPS, DOOR, LIMIT, NATIVE_GAS, TX_TYPE } from '../../genesis/params.ts'
import { datanets, indexOf, uploads } from '../ledger/tables.ts'
import { DATANET_STATUS, JOIN_POLICY } from './datanetCreate.ts'
import { defineNative, doorLog, failure, invalid, takeValue } from './nativeType.ts'

/** What a contributor did for an upload. */
export const CONTRIBUTOR_ROLE = { collected: 1, cleaned: 2, labelled: 3 } as const

export const UPLOAD_STATUS = { pending: 1, accepted: 2, rejected: 3, retired: 4, withdrawn: 5 } as const

export const uploadedEvent = parseAbiItem(
  'event Uploaded(uint32 indexed datanetId, uint32 indexed uploadIndex, address indexed uploader, bytes32 contentRoot, bytes contentId, uint32 recordCount)',
)

export const datanetUpload = defineNative({
  byte: TX_TYPE.datanetUpload,
  name: 'DatanetUpload',
  door: DOOR.datanets,
  functionName: 'upload',
  payable: true,
  parameters: parseAbiParameters(
    'uint32 datanetId, bytes32 contentRoot, bytes contentId, uint32 recordCount, uint64 byteCount, (address account, uint16 shareBps, uint8 role)[] contributors',
  ),
  returns: parseAbiParameters('uint32 uploadIndex'),
  structNames: { contributors: 'Contributor' },

  itemGas: ({ contributors }) => NATIVE_GAS.perContributor * BigInt(contributors.length),

  check({ contentRoot, contentId, recordCount, byteCount, contributors }) {
    if (contentRoot === zeroHash) return invalid('badContentRoot')
    const contentIdBytes = size(contentId)
    if (contentIdBytes === 0 || contentIdBytes > LIMIT.contentIdBytes) return invalid('badContentId', { contentIdBytes })
    if (recordCount === 0) return invalid('badRecordCount')
    if (byteCount === 0n) return invalid('badByteCount')
    if (!areContributors(contributors)) return invalid('badContributors')
    return undefined
  },

  apply(ledger, context, { datanetId, contentRoot, contentId, recordCount, byteCount, contributors }) {
    const { sender } = context
    const datanet = datanets.get(ledger, { datanetId })
    if (!datanet) return failure('unknownDatanet', { datanetId })
    if (datanet.status === DATANET_STATUS.retired) return failure('datanetRetired', { datanetId })
    const isMember = datanet.joinPolicy === JOIN_POLICY.anyone || sender === datanet.owner || sender === datanet.curator
    if (!isMember) return failure('notMember', { datanetId })
    const refused = takeValue(ledger, context, datanet.uploadBond)
    if (refused) return refused
    const uploadIndex = datanet.uploads
    datanets.put(ledger, { datanetId }, { ...datanet, uploads: uploadIndex + 1 })
    uploads.put(
      ledger,
      { datanetId, uploadIndex },
      {
        uploader: sender,
        contentRoot,
        recordCount,
        byteCount,
        bond: datanet.uploadBond,
        status: UPLOAD_STATUS.pending,
        qualityBps: 0,
        atSec: context.timeSec,
        contentId,
        contributors: contributors.map(({ account, shareBps, role }) => ({ account: indexOf(ledger, account), shareBps, role })),
      },
    )
    const logs = [doorLog(DOOR.datanets, uploadedEvent, { datanetId, uploadIndex, uploader: sender, contentRoot, contentId, recordCount })]
    return { ok: true, logs, returned: { uploadIndex } }
  },
})

type Contributor = { readonly account: Hex; readonly shareBps: number; readonly role: number }

function areContributors(contributors: readonly Contributor[]): boolean {
  if (contributors.length === 0 || contributors.length > LIMIT.contributors) return false
  const parts = new Set(contributors.map(({ account, role }) => `${account}:${role}`))
  if (parts.size < contributors.length) return false
  const { collected, labelled } = CONTRIBUTOR_ROLE
  if (contributors.some(({ account, shareBps, role }) => account === zeroAddress || shareBps === 0 || role < collected || role > labelled))
    return false
  return contributors.reduce((sum, { shareBps }) => sum + shareBps, 0) === BPS
}
