/**
 * 0x52 DatanetUpload: offers records to a datanet, committed by their root and split among those who made them.
 * A record leaf under `contentRoot` binds its contributor, so somebody else's root earns its copier nothing; nothing is earned before a review.
 * Spec: docs/spec/transactions.md#0x52-datanetupload
 */
import { type Hex, parseAbiItem, parseAbiParameters, size, zeroAddress, zeroHash } from 'viem'
import { BPS, DOOR, LIMIT, NATIVE_GAS, TX_TYPE } from '../../genesis/params.ts'
import { type FieldsOf, malformed, take } from '../fields.ts'
import { toHex, writeHex } from '../hex.ts'
import { datanets, indexOf, uploads } from '../ledger/tables.ts'
import { compileRow, type RowCoder } from '../rowFields.ts'
import { takeVarint, varintBytes, writeVarint } from '../varint.ts'
import { DATANET_STATUS, JOIN_POLICY } from './datanetCreate.ts'
import { defineNative, doorLog, failure, invalid, takeValue } from './nativeType.ts'

/** What a contributor did for an upload. */
export const CONTRIBUTOR_ROLE = { collected: 1, cleaned: 2, labelled: 3 } as const

export const UPLOAD_STATUS = { pending: 1, accepted: 2, rejected: 3, retired: 4, withdrawn: 5 } as const

export const uploadedEvent = parseAbiItem(
  'event Uploaded(uint32 indexed datanetId, uint32 indexed uploadIndex, address indexed uploader, bytes32 contentRoot, bytes contentId, uint32 recordCount)',
)

const headParameters = parseAbiParameters('uint32 datanetId, bytes32 contentRoot')
const tailParameters = parseAbiParameters(
  'uint32 recordCount, uint64 byteCount, (address account, uint16 shareBps, uint8 role)[] contributors',
)
const contentId = parseAbiParameters('bytes contentId')
type UploadFields = FieldsOf<typeof headParameters> & FieldsOf<typeof contentId> & FieldsOf<typeof tailParameters>

export const datanetUpload = defineNative({
  byte: TX_TYPE.datanetUpload,
  name: 'DatanetUpload',
  door: DOOR.datanets,
  functionName: 'upload',
  payable: true,
  parameters: [...headParameters, ...contentId, ...tailParameters] as const,
  returns: parseAbiParameters('uint32 uploadIndex'),
  structNames: { contributors: 'Contributor' },
  row: uploadRow(),

  records: ({ contributors }) => 2 + contributors.length,

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

/** CIDv1 of raw bytes by their keccak-256: with the content root behind it, that of the root's own node. Source: multiformats, CIDv1 and its tables. */
const ROOT_CID = '0x01551b20'
/** CIDv1 of raw bytes by their sha2-256, which most content has. */
const SHA256_CID = '0x01551220'
const CID_CHARS = SHA256_CID.length + 64

/** A content id that many have is a byte for what all of them begin with: 0 the root's own, 1 a SHA256_CID and its digest, else length and 2 ‖ bytes. */
function uploadRow(): RowCoder<UploadFields> {
  const [head, tail] = [compileRow(headParameters), compileRow(tailParameters)]
  const formOf = ({ contentRoot, contentId: id }: UploadFields) => {
    if (id.length === CID_CHARS && id.startsWith(SHA256_CID)) return 1
    return id === ROOT_CID + contentRoot.slice(2) ? 0 : 2 + size(id)
  }
  return {
    bytes(fields) {
      const form = formOf(fields)
      return head.bytes(fields) + varintBytes(form) + (form === 0 ? 0 : form === 1 ? 32 : form - 2) + tail.bytes(fields)
    },
    write(fields, out, at) {
      const form = formOf(fields)
      const from = writeVarint(form, out, head.write(fields, out, at))
      const rest = form === 0 ? '0x' : form === 1 ? `0x${fields.contentId.slice(SHA256_CID.length)}` : fields.contentId
      return tail.write(fields, out, writeHex(rest, out, from))
    },
    read(cursor) {
      const fields = head.read(cursor) as FieldsOf<typeof headParameters>
      const form = takeVarint(cursor, 17)
      const rest = form === 0 ? fields.contentRoot : toHex(take(cursor, form === 1 ? 32 : form - 2))
      const id: Hex = form > 1 ? rest : `${form === 0 ? ROOT_CID : SHA256_CID}${rest.slice(2)}`
      const read = { ...fields, contentId: id, ...(tail.read(cursor) as FieldsOf<typeof tailParameters>) }
      return formOf(read) === form ? read : malformed()
    },
  }
}

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
