#include "converter/report/html/conversion.h"

#include <memory>

#include "converter/report/html/answers.h"
#include "converter/report/html/pictures.h"
#include "converter/report/html/provenance.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

PageModel ModelOf(const ConversionReport& r) {
  PageModel m;
  m.name = r.output;
  m.precision = PrecisionName(r.precision);
  m.bytes = r.file_size;
  return m;
}

}  // namespace

Status FillPage(const PageSource& source, std::span<const PageFile> files,
                const CompareLayersOptions& options, ReportPage* page) {
  const ConversionReport& any = files.back().report;
  page->title = any.name;
  page->labels = any.labels;
  std::vector<const PageFile*> others;
  const PageFile* own = nullptr;
  for (const PageFile& f : files) {
    if (f.report.precision == source.own) {
      own = &f;
    } else {
      others.push_back(&f);
    }
  }
  const bool evaluated = !page->models.empty();
  if (!evaluated) {
    PageModel original;
    original.name = "(the source)";
    original.precision = PrecisionName(source.own);
    original.bytes = 4 * any.parameters;
    page->models.push_back(own != nullptr ? ModelOf(own->report) : original);
    for (const PageFile* f : others) page->models.push_back(ModelOf(f->report));
  }
  std::vector<std::shared_ptr<const Model>> models;
  OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> original, ModelFromGraph(source.graph));
  models.push_back(std::move(original));
  for (const PageFile* f : others) {
    OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model,
                           Model::FromMemory(f->bytes.data(), f->bytes.size()));
    models.push_back(std::move(model));
  }
  if (!evaluated && !source.samples.empty())
    OCTET_RETURN_IF_ERROR(RecordAnswers(models, source.samples, page));
  for (size_t i = 0; i < others.size(); ++i) {
    const ConversionReport& r = others[i]->report;
    PageModel& m = page->models[i + 1];
    if (!evaluated && r.verdict) SetVerdict(*r.verdict, &page->models[0], &m, page);
    m.tuning = r.tuning;
    m.by_hand = r.by_hand;
    if (r.budget) m.budget = BudgetLines(*r.budget);
    if (source.samples.empty()) continue;
    Result<LayerReport> layers =
        CompareLayers(source.graph, GraphOf(*models[i + 1]), source.samples, options);
    if (layers.ok()) {
      m.layers = std::move(*layers);
    } else if (layers.status().code() == StatusCode::kInvalidArgument) {
      page->provenance.emplace_back("Layers", "not compared: " + layers.status().message());
    } else {
      return layers.status();
    }
  }
  if (!evaluated) {
    page->not_measured = any.no_verdict.empty() ? "nothing was quantized" : any.no_verdict;
    page->data = source.data_text;
  }
  if (page->prepared.empty()) {
    OCTET_RETURN_IF_ERROR(ShowPreparation(source.data, source.graph, page));
  }
  OCTET_RETURN_IF_ERROR(AddDigest("Source", source.path, page));
  page->provenance.emplace_back("Read as", any.source);
  for (const PageFile& f : files) {
    page->provenance.emplace_back(StrCat("Output, ", PrecisionName(f.report.precision)),
                                  StrCat(f.report.output, ", ", DigestText(f.bytes)));
    page->provenance.emplace_back("Its options", f.report.options);
  }
  if (!any.data.empty()) page->provenance.emplace_back("Calibration data", any.data);
  if (!any.calibration_method.empty()) {
    page->provenance.emplace_back(
        "Ranges", StrCat(any.calibration_method, ", ", any.calibration_samples, " samples"));
  }
  return AddMachine("", page);
}

}  // namespace octet
