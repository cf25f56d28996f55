/**
 * Intel's attestation PKI in small, of keys made here: root CA, PCK CA, a platform's certificate, the signer of TCB info, revocation lists,
 * TCB info, QE identity, QE report and quote. `Plan` says what is unlike the good one.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { type CollateralParts, encodeCollateral } from '../../precompiles/tdxCollateral.ts'

type Pair = { readonly privateKey: KeyObject; readonly publicKey: KeyObject; readonly name: string }
type Patch = readonly [offset: number, hex: string]

export type CertificatePlan = {
  readonly serial: number
  readonly from: string
  readonly until: string
  readonly isCa: boolean
  readonly keyUsage: number
  readonly issuer: string
  readonly signer: Pair
  readonly extensions: readonly Buffer[]
}
export type ListPlan = {
  readonly revoked: readonly number[]
  readonly from: string
  readonly until: string
  readonly signer: Pair
  readonly issuer: string
}

export type Plan = {
  readonly pck: Partial<CertificatePlan>
  readonly ca: Partial<CertificatePlan>
  readonly tcbSigner: Partial<CertificatePlan>
  readonly rootCrl: Partial<ListPlan>
  readonly pckCrl: Partial<ListPlan>
  readonly tcbInfo: Readonly<Record<string, unknown>>
  readonly qeIdentity: Readonly<Record<string, unknown>>
  /** Bytes of the report, the QE report and the header that differ, before they are signed. */
  readonly report: readonly Patch[]
  readonly qeReport: readonly Patch[]
  readonly header: readonly Patch[]
  /** TDX 1.5: what follows the report, in a quote of version 5. */
  readonly next: string | undefined
  readonly version: 4 | 5
  readonly attestationSigner: Pair
  readonly certificationType: number
  readonly parts: Partial<CollateralParts>
}

export const FROM = '2026-01-01T00:00:00Z'
export const UNTIL = '2026-03-01T00:00:00Z'
export const NOW_SEC = BigInt(Date.parse('2026-02-01T00:00:00Z') / 1000)

const pair = (name: string): Pair => ({ ...generateKeyPairSync('ec', { namedCurve: 'P-256' }), name })
export const ROOT = pair('Root CA')
export const CA = pair('PCK Platform CA')
export const PCK = pair('PCK Certificate')
export const TCB_SIGNER = pair('TCB Signing')
export const ATTESTATION = pair('attestation key')
export const STRANGER = pair('Stranger')

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...head]), content])
}
const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const seq = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts)
const octets = (bytes: Uint8Array): Buffer => der(0x04, bytes)
const oid = (content: string): Buffer => der(0x06, hex(content))
const time = (iso: string): Buffer => der(0x17, Buffer.from(`${iso.replace(/[-T:]/g, '').slice(2)}`))
const nameOf = (name: string): Buffer => seq(der(0x31, seq(oid('550403'), der(0x0c, Buffer.from(name)))))
function integer(value: number): Buffer {
  const digits = value.toString(16)
  const even = digits.padStart(digits.length + (digits.length % 2), '0')
  return der(0x02, hex(/^[89a-f]/.test(even) ? `00${even}` : even))
}
const ECDSA_SHA256 = seq(oid('2a8648ce3d040302'))
const SGX = '2a864886f84d010d01'

/** An extension: identifier, critical or not, value. */
export const extension = (id: string, isCritical: boolean, value: Uint8Array): Buffer =>
  seq(oid(id), ...(isCritical ? [hex('0101ff')] : []), octets(value))

function signed(tbs: Buffer, { privateKey }: Pair): Buffer {
  return seq(tbs, ECDSA_SHA256, der(0x03, hex('00'), sign('sha256', tbs, privateKey)))
}

function certificate(subject: Pair, issuer: Pair, defaults: Partial<CertificatePlan>, plan: Partial<CertificatePlan>): Buffer {
  const good: CertificatePlan = {
    serial: 1,
    from: FROM,
    until: UNTIL,
    isCa: false,
    keyUsage: 0xc0,
    issuer: issuer.name,
    signer: issuer,
    extensions: [],
  }
  const { serial, from, until, isCa, keyUsage, issuer: issuerName, signer, extensions } = { ...good, ...defaults, ...plan }
  const basic = extension('551d13', true, isCa ? seq(hex('0101ff'), integer(0)) : seq())
  const usage = extension('551d0f', true, der(0x03, Buffer.from([1, keyUsage])))
  const tbs = seq(
    der(0xa0, integer(2)),
    integer(serial),
    ECDSA_SHA256,
    nameOf(issuerName),
    seq(time(from), time(until)),
    nameOf(subject.name),
    subject.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, seq(basic, usage, ...extensions)),
  )
  return signed(tbs, signer)
}

function revocationList(issuer: Pair, plan: Partial<ListPlan>): Buffer {
  const {
    revoked,
    from,
    until,
    signer,
    issuer: name,
  } = { revoked: [], from: FROM, until: UNTIL, signer: issuer, issuer: issuer.name, ...plan }
  const entries = revoked.map((serial) => seq(integer(serial), time(FROM), seq(extension('551d15', false, hex('0a0101')))))
  const number = extension('551d14', false, integer(1))
  const tbs = seq(
    integer(1),
    ECDSA_SHA256,
    nameOf(name),
    time(from),
    time(until),
    ...(entries.length > 0 ? [seq(...entries)] : []),
    der(0xa0, seq(number)),
  )
  return signed(tbs, signer)
}

/** What Intel writes of a platform into its certificate: security versions, and which family it is of. */
export function sgxExtension({ cpuSvn = '05'.repeat(16), pceSvn = 11, fmspc = '00906ed50000', pceId = '0000' } = {}): Buffer {
  const tcb = [...Array.from({ length: 16 }, (_, i) => seq(oid(`${SGX}02${(i + 1).toString(16).padStart(2, '0')}`), integer(5)))]
  const versions = seq(...tcb, seq(oid(`${SGX}0211`), integer(pceSvn)), seq(oid(`${SGX}0212`), octets(hex(cpuSvn))))
  const members = [
    seq(oid(`${SGX}01`), octets(Buffer.alloc(16, 7))),
    seq(oid(`${SGX}02`), versions),
    seq(oid(`${SGX}03`), octets(hex(pceId))),
    seq(oid(`${SGX}04`), octets(hex(fmspc))),
    seq(oid(`${SGX}05`), der(0x0a, hex('00'))),
  ]
  return extension(SGX, false, seq(...members))
}

const svns = (svn: number, count = 16) => Array.from({ length: count }, () => ({ svn }))
const MODULE = { mrsigner: '00'.repeat(48), attributes: '00'.repeat(8), attributesMask: 'FF'.repeat(8) }

/** A platform's level; the good platform has 5 everywhere. */
export const level = (svn: number, tcbStatus: string, pcesvn = 11) => ({
  tcb: { sgxtcbcomponents: svns(svn), tdxtcbcomponents: svns(svn), pcesvn },
  tcbDate: FROM,
  tcbStatus,
})
/** A level of a module or quoting enclave. */
export const svnLevel = (isvsvn: number, tcbStatus: string) => ({ tcb: { isvsvn }, tcbDate: FROM, tcbStatus })
/** A version of the module, with its levels. */
export const moduleVersion = (id: string, tcbLevels: readonly unknown[], unlike: object = {}) => ({ id, ...MODULE, tcbLevels, ...unlike })

const TCB_INFO = {
  ...{
    id: 'TDX',
    version: 3,
    issueDate: FROM,
    nextUpdate: UNTIL,
    fmspc: '00906ED50000',
    pceId: '0000',
    tcbType: 0,
    tcbEvaluationDataNumber: 1,
  },
  tdxModule: MODULE,
  tdxModuleIdentities: [moduleVersion('TDX_05', [svnLevel(5, 'UpToDate'), svnLevel(2, 'OutOfDate')])],
  tcbLevels: [level(5, 'UpToDate'), level(2, 'OutOfDate', 2)],
}
const QE_IDENTITY = {
  ...{ id: 'TD_QE', version: 2, issueDate: FROM, nextUpdate: UNTIL, tcbEvaluationDataNumber: 1, miscselect: '00000000' },
  ...{ miscselectMask: 'FFFFFFFF', attributes: `11${'00'.repeat(15)}`, attributesMask: `FB${'FF'.repeat(7)}${'00'.repeat(8)}` },
  ...{ mrsigner: 'DC'.repeat(32), isvprodid: 2, tcbLevels: [svnLevel(4, 'UpToDate'), svnLevel(1, 'OutOfDate')] },
}

const u16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8])
const u32 = (value: number): Buffer => Buffer.concat([u16(value & 0xffff), u16(value >>> 16)])
const rawSign = (bytes: Uint8Array, { privateKey }: Pair): Buffer => sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' })

function rawKey({ publicKey }: Pair): Buffer {
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  return Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
}

function patched(bytes: Buffer, patches: readonly Patch[]): Buffer {
  for (const [offset, text] of patches) hex(text).copy(bytes, offset)
  return bytes
}

/** A TD report with 5 for every version, SEPT_VE_DISABLE set, registers and report data that can be told apart. */
function reportOf(patches: readonly Patch[]): Buffer {
  const registers = Array.from({ length: 8 }, (_, i) => Buffer.alloc(48, 0x30 + i))
  const parts = [
    Buffer.alloc(16, 5),
    Buffer.alloc(48, 0x20),
    Buffer.alloc(48),
    Buffer.alloc(8),
    hex('0000001000000000'),
    hex('e702060000000000'),
  ]
  return patched(Buffer.concat([...parts, ...registers, Buffer.alloc(32, 0xaa), Buffer.alloc(32, 0xbb)]), patches)
}

function qeReportOf(qeData: Buffer, attestationKey: Buffer, patches: readonly Patch[]): Buffer {
  const report = Buffer.alloc(384)
  report[48] = 0x11
  report.fill(0xdc, 128, 160)
  u16(2).copy(report, 256)
  u16(4).copy(report, 258)
  createHash('sha256').update(attestationKey).update(qeData).digest().copy(report, 320)
  return patched(report, patches)
}

const pem = (certificateDer: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${certificateDer.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`

export type Evidence = {
  readonly quote: Uint8Array
  readonly collateralCode: Uint8Array
  readonly parts: CollateralParts
  readonly root: Uint8Array
}

/** The evidence that the plan makes; of an empty plan, good one. */
export function evidenceOf(plan: Partial<Plan> = {}): Evidence {
  const root = certificate(ROOT, ROOT, { isCa: true, keyUsage: 0x06, serial: 1 }, {})
  const ca = certificate(CA, ROOT, { isCa: true, keyUsage: 0x06, serial: 2 }, plan.ca ?? {})
  const pck = certificate(PCK, CA, { serial: 0x80f1, extensions: [sgxExtension()] }, plan.pck ?? {})
  const tcbInfo = Buffer.from(JSON.stringify({ ...TCB_INFO, ...plan.tcbInfo }))
  const qeIdentity = Buffer.from(JSON.stringify({ ...QE_IDENTITY, ...plan.qeIdentity }))
  const parts: CollateralParts = {
    rootCrl: revocationList(ROOT, plan.rootCrl ?? {}),
    pckCrl: revocationList(CA, plan.pckCrl ?? {}),
    tcbSigner: certificate(TCB_SIGNER, ROOT, { serial: 4 }, plan.tcbSigner ?? {}),
    tcbInfo,
    tcbInfoSignature: rawSign(tcbInfo, TCB_SIGNER),
    qeIdentity,
    qeIdentitySignature: rawSign(qeIdentity, TCB_SIGNER),
    ...plan.parts,
  }
  const quote = quoteOf(plan, [pck, ca, root])
  return { quote, collateralCode: encodeCollateral(parts), parts, root }
}

function quoteOf(plan: Partial<Plan>, chain: readonly Buffer[]): Uint8Array {
  const { version = 4, next, attestationSigner = ATTESTATION } = plan
  const head = [u16(version), u16(2), u32(0x81), u32(0), hex('939a7233f79c4ca9940a0db3957f0607'), Buffer.alloc(20)]
  const header = patched(Buffer.concat(head), plan.header ?? [])
  const report = Buffer.concat([reportOf(plan.report ?? []), hex(next ?? '')])
  const body = version === 5 ? [u16(next === undefined ? 2 : 3), u32(report.length)] : []
  const signedBytes = Buffer.concat([header, ...body, report])
  const attestationKey = rawKey(ATTESTATION)
  const qeData = Buffer.from(Array.from({ length: 32 }, (_, i) => i))
  const qeReport = qeReportOf(qeData, attestationKey, plan.qeReport ?? [])
  const certificates = Buffer.from(chain.map(pem).join(''))
  const certified = Buffer.concat([
    ...[qeReport, rawSign(qeReport, PCK), u16(qeData.length), qeData],
    ...[u16(plan.certificationType ?? 5), u32(certificates.length), certificates],
  ])
  const data = Buffer.concat([rawSign(signedBytes, attestationSigner), attestationKey, u16(6), u32(certified.length), certified])
  return new Uint8Array(Buffer.concat([signedBytes, u32(data.length), data]))
}
