/**
 * Whether a TDX quote is genuine and its platform up to date, by collateral that anybody may have published: the root CA signed the PCK CA, that the
 * platform's key (PCK), that the quoting enclave's report, that the attestation key, and that the quote. What Intel says of platforms
 * and of revoked certificates is signed below the same root, the revocation lists too: unsigned ones would revoke nobody. A function of quote,
 * collateral and time. Source: Intel, "TDX DCAP: Quote Generation Library and Quote Verification Library", section 4. Spec: docs/spec/receipts.md#attestation
 */
import { bytesToHex, concat } from 'viem'
import { attempt, malformed } from '../execution/fields.ts'
import { ATTESTATION_CODE, type AttestationCode } from '../execution/native/doorAbi.ts'
import { sha256 } from '../execution/sha256.ts'
import type { Curves } from './curves.ts'
import { cursorOver, TAG, takeDer, takeInteger, takeOid } from './der.ts'
import {
  type Collateral,
  decodeCollateral,
  decodeQeIdentity,
  decodeTcbInfo,
  type QeIdentity,
  type SvnLevel,
  type TcbInfo,
} from './tdxCollateral.ts'
import { decodeTdxQuote, type QeReport, type TdReport, type TdxQuote } from './tdxQuote.ts'
import { type Certificate, isEndEntity, isIssuedBy, revokes, type Validity } from './x509.ts'

export type TdxEvidence = { readonly quote: Uint8Array; readonly collateralCode: Uint8Array; readonly timeSec: bigint }

/** `report` and `untilSec` stand beside the codes that say that all but the platform's freshness is proven: `ok` and `tcbOutOfDate`. */
export type TdxVerdict =
  | { readonly code: AttestationCode; readonly report: undefined }
  | { readonly code: AttestationCode; readonly report: TdReport; readonly untilSec: bigint }

/** Whose word counts, and how signatures are verified. */
export type TdxTrust = { readonly curves: Curves; readonly root: Certificate }

/** What Intel writes into a platform's certificate. */
type Platform = { readonly cpuSvn: Uint8Array; readonly pceSvn: number; readonly pceId: Uint8Array; readonly fmspc: Uint8Array }

/** Judges the evidence: the first rule of docs/spec/receipts.md#attestation that it breaks. */
export function verifyTdx({ quote: bytes, collateralCode, timeSec }: TdxEvidence, trust: TdxTrust): TdxVerdict {
  const quote = decodeTdxQuote(bytes)
  if (!quote) return broken('quoteFormat')
  const collateral = decodeCollateral(collateralCode)
  if (!collateral) return broken('collateralFormat')
  const { pckCertificate, pckAuthority } = quote
  const platform = platformOf(pckCertificate)
  if (!platform || !isChained(quote, trust) || ![pckCertificate, pckAuthority, trust.root].every((one) => isWithin(one, timeSec)))
    return broken('certChain')
  if (!isSignedBelow(collateral, pckAuthority, trust)) return broken('collateralSig')
  const tcbInfo = decodeTcbInfo(collateral.tcbInfo)
  const qeIdentity = decodeQeIdentity(collateral.qeIdentity)
  if (!tcbInfo || !qeIdentity) return broken('collateralFormat')
  const { rootCrl, pckCrl, tcbSigner } = collateral
  const published = [rootCrl, pckCrl, tcbSigner, tcbInfo, qeIdentity]
  if (!published.every((one) => isWithin(one, timeSec))) return broken('collateralStale')
  const areListed = [revokes(rootCrl, pckAuthority), revokes(rootCrl, tcbSigner), revokes(pckCrl, pckCertificate)]
  if (areListed.includes(undefined)) return broken('collateralFormat')
  if (areListed.includes(true)) return broken('revoked')
  if (!isQuoteSigned(quote, trust.curves)) return broken('quoteSig')
  if (!isForTdx(tcbInfo, qeIdentity) || !isForPlatform(tcbInfo, platform)) return broken('wrongCollateral')
  if (!isQe(quote.qeReport, qeIdentity)) return broken('qeIdentity')
  if (!isModule(quote.report, tcbInfo)) return broken('moduleIdentity')
  if (!isClosed(quote.report)) return broken('tdAttributes')
  const statuses = statusesOf(quote, { tcbInfo, qeIdentity, platform })
  if (statuses.includes('Revoked')) return broken('revoked')
  const code = statuses.every((status) => status === 'UpToDate') ? ATTESTATION_CODE.ok : ATTESTATION_CODE.tcbOutOfDate
  const ends = [pckCertificate, pckAuthority, trust.root, ...published].map(({ untilSec }) => untilSec)
  return { code, report: quote.report, untilSec: ends.reduce((least, end) => (end < least ? end : least)) }
}

function broken(rule: keyof typeof ATTESTATION_CODE): TdxVerdict {
  return { code: ATTESTATION_CODE[rule], report: undefined }
}

function isWithin({ fromSec, untilSec }: Validity, timeSec: bigint): boolean {
  return fromSec <= timeSec && timeSec <= untilSec
}

function isChained({ pckCertificate, pckAuthority }: TdxQuote, { curves, root }: TdxTrust): boolean {
  return isEndEntity(pckCertificate) && isIssuedBy(pckAuthority, root, curves) && isIssuedBy(pckCertificate, pckAuthority, curves)
}

/** The signer of TCB info is nobody who could sign for a platform: the root issued it, and the PCK CA's certificates are another's. */
function isSignedBelow(collateral: Collateral, pckAuthority: Certificate, { curves, root }: TdxTrust): boolean {
  const { rootCrl, pckCrl, tcbSigner, tcbInfo, tcbInfoSignature, qeIdentity, qeIdentitySignature } = collateral
  return (
    isEndEntity(tcbSigner) &&
    isIssuedBy(tcbSigner, root, curves) &&
    isIssuedBy(rootCrl, root, curves) &&
    isIssuedBy(pckCrl, pckAuthority, curves) &&
    curves.p256({ message: tcbInfo, signature: tcbInfoSignature, key: tcbSigner.key }) &&
    curves.p256({ message: qeIdentity, signature: qeIdentitySignature, key: tcbSigner.key })
  )
}

function isQuoteSigned(quote: TdxQuote, { p256 }: Curves): boolean {
  const { qeReportBytes, qeReportSignature, qeReport, qeData, pckCertificate, attestationKey, signedBytes, signature } = quote
  const bound = concat([sha256(concat([attestationKey, qeData])), new Uint8Array(32)])
  return (
    isEqual(bound, qeReport.reportData) &&
    p256({ message: qeReportBytes, signature: qeReportSignature, key: pckCertificate.key }) &&
    p256({ message: signedBytes, signature, key: attestationKey })
  )
}

function isForTdx(tcbInfo: TcbInfo, qeIdentity: QeIdentity): boolean {
  return tcbInfo.format === 'TDX 3' && (qeIdentity.format === 'TD_QE 2' || qeIdentity.format === 'TD_QE 3')
}

function isForPlatform(tcbInfo: TcbInfo, platform: Platform): boolean {
  return isEqual(tcbInfo.fmspc, platform.fmspc) && isEqual(tcbInfo.pceId, platform.pceId)
}

/** Whether this is Intel's quoting enclave, and no debugger can look into it. */
function isQe(report: QeReport, identity: QeIdentity): boolean {
  return (
    isEqual(report.mrSigner, identity.mrSigner) &&
    report.isvProdId === identity.isvProdId &&
    isEqualUnder(identity.miscSelectMask, report.miscSelect, identity.miscSelect) &&
    isEqualUnder(identity.attributesMask, report.attributes, identity.attributes) &&
    ((report.attributes[0] ?? 0) & SGX_DEBUG) === 0
  )
}

const SGX_DEBUG = 0x02

/** Whether the TDX module is Intel's. TEE_TCB_SVN's second byte is the module's major version; version 0 has no identity of its own. */
function isModule({ teeTcbSvn, mrSignerSeam, seamAttributes }: TdReport, tcbInfo: TcbInfo): boolean {
  const identity = teeTcbSvn[1] === 0 ? tcbInfo.module : moduleVersionOf(teeTcbSvn, tcbInfo)
  if (!identity || !isEqual(mrSignerSeam, identity.mrSigner)) return false
  const outside = seamAttributes.some((byte, i) => (byte & ~(identity.attributesMask[i] ?? 0)) !== 0)
  return !outside && isEqualUnder(identity.attributesMask, seamAttributes, identity.attributes)
}

function moduleVersionOf(teeTcbSvn: Uint8Array, { moduleVersions }: TcbInfo) {
  const id = `TDX_${bytesToHex(teeTcbSvn.subarray(1, 2)).slice(2)}`
  return moduleVersions.find((version) => version.id.toUpperCase() === id.toUpperCase())
}

/**
 * Bits of TDATTRIBUTES that may be set: ICSSD, LASS, SEPT_VE_DISABLE, PKS, KL, TPA, PERFMON. Debugging, profiling, migration, service TDs and
 * reserved bits may not, and SEPT_VE_DISABLE must. Source: Intel, "TDX Module 1.5 ABI", table of ATTRIBUTES.
 */
const TD_ATTRIBUTES_ALLOWED = [0x00, 0x00, 0x01, 0xd8, 0x00, 0x00, 0x00, 0xc0]
const SEPT_VE_DISABLE = 0x10

/** Whether nobody outside of the TD can look into it. */
function isClosed({ tdAttributes, next }: TdReport): boolean {
  const isAllowed = tdAttributes.every((byte, i) => (byte & ~(TD_ATTRIBUTES_ALLOWED[i] ?? 0)) === 0)
  const hasService = next?.mrServiceTd.some((byte) => byte !== 0) ?? false
  return isAllowed && ((tdAttributes[3] ?? 0) & SEPT_VE_DISABLE) !== 0 && !hasService
}

type Sources = { readonly tcbInfo: TcbInfo; readonly qeIdentity: QeIdentity; readonly platform: Platform }

/** What Intel thinks of each component: of platform and module when the TD began, of both now if the quote says so, and of the quoting enclave. */
function statusesOf({ report, qeReport }: TdxQuote, { tcbInfo, qeIdentity, platform }: Sources): readonly string[] {
  const versions = [report.teeTcbSvn, ...(report.next ? [report.next.teeTcbSvn] : [])]
  const ofVersions = versions.flatMap((teeTcbSvn) => [
    platformStatus(tcbInfo, platform, teeTcbSvn),
    ...(teeTcbSvn[1] === 0 ? [] : [svnStatus(moduleVersionOf(teeTcbSvn, tcbInfo)?.levels ?? [], teeTcbSvn[0] ?? 0)]),
  ])
  return [...ofVersions, svnStatus(qeIdentity.levels, qeReport.isvSvn)]
}

/** Below every level that Intel lists. */
const BELOW_ALL = 'OutOfDate'

/** The first level that the platform reaches, as Intel lists them. From version 1 on the module's own part is judged by its identity. */
function platformStatus({ levels }: TcbInfo, { cpuSvn, pceSvn }: Platform, teeTcbSvn: Uint8Array): string {
  const tdxFrom = teeTcbSvn[1] === 0 ? 0 : 2
  const reached = levels.find(
    (level) =>
      pceSvn >= level.pceSvn &&
      level.sgxSvns.every((svn, i) => (cpuSvn[i] ?? 0) >= svn) &&
      level.tdxSvns.every((svn, i) => i < tdxFrom || (teeTcbSvn[i] ?? 0) >= svn),
  )
  return reached?.status ?? BELOW_ALL
}

function svnStatus(levels: readonly SvnLevel[], isvSvn: number): string {
  return levels.find((level) => isvSvn >= level.isvSvn)?.status ?? BELOW_ALL
}

/** Object identifiers below 1.2.840.113741.1.13.1. Source: Intel, "SGX PCK Certificate and CRL Profile Specification", section 1.3.5. */
const SGX_EXTENSION = '0x2a864886f84d010d01'
const SGX_TCB = `${SGX_EXTENSION}02`
const SGX_PCE_ID = `${SGX_EXTENSION}03`
const SGX_FMSPC = `${SGX_EXTENSION}04`
const SGX_PCE_SVN = `${SGX_TCB}11`
const SGX_CPU_SVN = `${SGX_TCB}12`

function platformOf({ extensions }: Certificate): Platform | undefined {
  const extension = extensions.get(SGX_EXTENSION)
  return (
    extension &&
    attempt(() => {
      const members = membersOf(extension)
      const tcb = membersOf(members.get(SGX_TCB) ?? malformed())
      const pceSvn = takeInteger(cursorOver(tcb.get(SGX_PCE_SVN) ?? malformed()))
      if (pceSvn.length > 2) malformed()
      return {
        cpuSvn: octets(tcb.get(SGX_CPU_SVN), 16),
        pceSvn: pceSvn.reduce((value, byte) => value * 256 + byte, 0),
        pceId: octets(members.get(SGX_PCE_ID), 2),
        fmspc: octets(members.get(SGX_FMSPC), 6),
      }
    })
  )
}

/** A sequence of pairs of identifier and value, by identifier. */
function membersOf(der: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const list = takeDer(cursorOver(der), TAG.sequence)
  const members = new Map<string, Uint8Array>()
  while (list.at < list.end) {
    const pair = takeDer(list, TAG.sequence)
    members.set(takeOid(pair), pair.bytes.subarray(pair.at, pair.end))
  }
  return members
}

function octets(der: Uint8Array | undefined, length: number): Uint8Array {
  const content = takeDer(cursorOver(der ?? malformed()), TAG.octetString)
  const bytes = content.bytes.subarray(content.at, content.end)
  return bytes.length === length ? bytes : malformed()
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

function isEqualUnder(mask: Uint8Array, a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && mask.every((byte, i) => (byte & (a[i] ?? 0)) === (byte & (b[i] ?? 0)))
}
